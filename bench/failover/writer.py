"""The application of writer.mjs with redis-py: python3 writer.py SENTINELS NAME PREFIX."""

import sys
import threading
import time

import redis
from redis.sentinel import Sentinel

sentinels, name, prefix = sys.argv[1:4]
SOON = 0.3
addresses = [(text.split(":")[0], int(text.split(":")[1])) for text in sentinels.split(",")]
options = {"socket_timeout": 0.5, "socket_connect_timeout": SOON}
soon = {"socket_timeout": SOON, "socket_connect_timeout": SOON}
client = Sentinel(addresses, sentinel_kwargs=soon, **options).master_for(name)

over = threading.Event()


def await_end():
    sys.stdin.read()
    over.set()


threading.Thread(target=await_end, daemon=True).start()
number = 0
last_error = ""
while not over.is_set():
    try:
        client.set(f"{prefix}:{number}", number)
        at = time.time() * 1000
        try:
            replicas = client.wait(1, 200)
        except redis.RedisError:
            replicas = 0
        print(f"{at:.1f} {number} {replicas}", flush=True)
        last_error = ""
        time.sleep(0.001)
    except redis.RedisError as error:
        if str(error) != last_error:
            last_error = str(error)
            print(f"error {last_error}", flush=True)
        # It asks Sentinel only for a new connection, and an error such as MISCONF keeps the old one.
        client.connection_pool.disconnect()
        time.sleep(0.005)
    number += 1
