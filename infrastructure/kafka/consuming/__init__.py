"""The consumer wrapper: the only place that reads Kafka for a group. `port.py` says what it needs of a client,
`aiokafka_client.py` is the one file that knows the client in use; the rest is ours and tested without a broker.

    consumer.py    a member of a group for as long as its worker runs; replaces clients that die or fall silent
    member.py      the life of one client: join, poll, keep the books, drain, leave
    assignments.py the books: who may commit what, under which assignment (pure), on watermark.py
    settling.py    one record to its end: handled, held or buried; burial_limit.py says when to stop (pure)
    budgets.py     how much may be under way per priority, on lanes.py (order per key)
    watch.py       a client seen from outside; stalls.py says when silence is a stall (pure)
"""
