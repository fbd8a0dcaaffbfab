const ws = new WebSocket('ws://localhost:8000/ws/notifications?user_id=user123&topics=topic1,topic2');

ws.onmessage = function(event) {
    const notification = JSON.parse(event.data);
    console.log('Received notification:', notification);
};

ws.onopen = function() {
    console.log('Connected to notification service');
};

ws.onclose = function() {
    console.log('Disconnected from notification service');
};
