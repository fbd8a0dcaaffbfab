import time
import hmac
import hashlib
import requests

# === 設定區 ===
API_URL = "http://localhost:10000/publish/test"
API_TOKEN = "your-secret-token"  # 請換成你在 .env 裡設定的 token
MESSAGE = "Hello from Python client!"

# === 計算 timestamp 和 HMAC signature ===
timestamp = str(int(time.time()))  # 秒為單位的 timestamp
signature = hmac.new(
    API_TOKEN.encode(), timestamp.encode(), hashlib.sha256
).hexdigest()

# === Headers ===
headers = {
    "token": API_TOKEN,
    "x-timestamp": timestamp,
    "x-signature": signature,
}

# === 發送 POST 請求 ===
params = {"message": MESSAGE}
response = requests.post(API_URL, headers=headers, params=params)

# === 顯示結果 ===
print("Status code:", response.status_code)
print("Response:", response.json())

