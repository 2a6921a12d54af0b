"""An unmodified `websockets` client: connects where it is told to, exchanges one message.

Arguments: URL of the sender, URL of the recipient, the recipient; perhaps the tokens of both.
Prints one JSON line.
"""

import asyncio
import json
import sys

import websockets


def connect(url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else None
    return websockets.connect(url, additional_headers=headers)


async def main(sender_url, recipient_url, recipient, *tokens):
    async with (
        connect(recipient_url, *tokens[1:]) as receiving,
        connect(sender_url, *tokens[:1]) as sending,
    ):
        nodes = [json.loads(await c.recv())["node"] for c in (sending, receiving)]
        send = {"type": "send", "id": "m1", "to": {"user": recipient}, "qos": 0, "body": "hi"}
        await sending.send(json.dumps(send))
        message = json.loads(await receiving.recv())
        receipt = json.loads(await sending.recv())
        print(json.dumps({"nodes": nodes, "message": message, "receipt": receipt}))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 20))
