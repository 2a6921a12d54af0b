"""An unmodified `aiohttp` client: connects where it is told to, exchanges one message.

Arguments: URL of the sender, URL of the recipient, the recipient. Prints one JSON line.
"""

import asyncio
import json
import sys

import aiohttp


async def main(sender_url, recipient_url, recipient):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(recipient_url) as receiving,
        session.ws_connect(sender_url) as sending,
    ):
        nodes = [(await c.receive_json())["node"] for c in (sending, receiving)]
        send = {"type": "send", "id": "m1", "to": {"user": recipient}, "qos": 0, "body": "hi"}
        await sending.send_json(send)
        message = await receiving.receive_json()
        receipt = await sending.receive_json()
        print(json.dumps({"nodes": nodes, "message": message, "receipt": receipt}))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 20))
