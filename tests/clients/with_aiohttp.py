"""An unmodified `aiohttp` client: connects where it is told to, exchanges one message.

Arguments: URL of the sender, URL of the recipient, the recipient; perhaps the tokens of both.
Prints one JSON line.
"""

import asyncio
import json
import sys

import aiohttp


def connect(session, url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else None
    return session.ws_connect(url, headers=headers)


async def main(sender_url, recipient_url, recipient, *tokens):
    async with (
        aiohttp.ClientSession() as session,
        connect(session, recipient_url, *tokens[1:]) as receiving,
        connect(session, sender_url, *tokens[:1]) as sending,
    ):
        nodes = [(await c.receive_json())["node"] for c in (sending, receiving)]
        send = {"type": "send", "id": "m1", "to": {"user": recipient}, "qos": 0, "body": "hi"}
        await sending.send_json(send)
        message = await receiving.receive_json()
        receipt = await sending.receive_json()
        print(json.dumps({"nodes": nodes, "message": message, "receipt": receipt}))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 20))
