"""A backend application with everything the acceptance measurements ask of one; run with a port as only argument.

GET  <any path>          the path as body
GET  /download?<size>    that many bytes of payload, with Content-Length
GET  /download?<size>&chunked
POST /upload             reads slowly (see payload.py), answers with the SHA-256 of what arrived
POST /sink               reads as fast as it comes, answers with the number of bytes that arrived
GET  /tunnel             101, then an echo
"""

import asyncio
import base64
import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator

from benchmarks.load import payload

# RFC 6455 section 1.3.
_WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            headers = _headers(head)
            if "upgrade" in headers:
                writer.write(_switching(headers["sec-websocket-key"]))
                while data := await reader.read(payload.READ_SIZE):
                    writer.write(data)
                    await writer.drain()
                break
            if target == "/sink":
                size = 0
                async for piece in _body(reader, headers):
                    size += len(piece)
                _write_whole(writer, str(size))
            elif method == "POST":
                _write_whole(writer, await _slow_digest(_body(reader, headers)))
            elif target.startswith("/download?"):
                await _write_download(writer, target)
            else:
                _write_whole(writer, target)
    writer.close()


def _switching(key: str) -> bytes:
    accept = base64.b64encode(hashlib.sha1((key + _WEBSOCKET_GUID).encode()).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


def _headers(head: str) -> dict[str, str]:
    fields = (line.partition(":") for line in head.split("\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _, value in fields}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if "transfer-encoding" in headers:
        while length := int(await reader.readline(), 16):
            async for piece in _exactly(reader, length):
                yield piece
            await reader.readline()
        await reader.readline()
    else:
        async for piece in _exactly(reader, int(headers.get("content-length", 0))):
            yield piece


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length:
        piece = await reader.read(min(length, payload.READ_SIZE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        length -= len(piece)
        yield piece


async def _slow_digest(body: AsyncIterator[bytes]) -> str:
    sha256 = hashlib.sha256()
    position = 0
    async for piece in body:
        sha256.update(piece)
        if pause := payload.pause_before_reading(position, position + len(piece)):
            await asyncio.sleep(pause)
        position += len(piece)
    return sha256.hexdigest()


def _write_whole(writer: asyncio.StreamWriter, body: str) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode("latin-1"))


async def _write_download(writer: asyncio.StreamWriter, target: str) -> None:
    size, _, chunked = target.partition("?")[2].partition("&")
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
    for block in payload.blocks(int(size)):
        writer.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
