"""Real cameras on loopback: an RTSP server (H.264) and an HTTP server (MJPEG) that can be cut."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import pytest

av = pytest.importorskip("av", reason="live cameras not tested: PyAV is not installed")

WIDTH_PX, HEIGHT_PX = 160, 120
_CLOCK_HZ = 90_000  # of H.264 over RTP (RFC 6184)
_MARKER_PAYLOAD, _PAYLOAD = 0x80 | 96, 96
_RTP = struct.Struct(">BBHII")  # RFC 3550, 5.1
_INTERLEAVED = struct.Struct(">cBH")  # RFC 2326, 10.12


def numbered_picture(number: int) -> np.ndarray:
    """A picture that differs from its neighbours."""
    pixels = np.full((HEIGHT_PX, WIDTH_PX, 3), 60, np.uint8)
    left = number * 5 % (WIDTH_PX - 20)
    pixels[40:80, left : left + 20] = 220
    return pixels


class CameraServer:
    """Accepts clients on one port; may be cut and brought back.

    Attributes:
        connections: clients that were served a stream.
    """

    def __init__(self, *, rate_hz: float = 25.0) -> None:
        self.connections = 0
        self._period_s = 1 / rate_hz
        self._down = threading.Event()
        self._threads: list[threading.Thread] = []
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept, self._listener)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """Pull the plug: no listener, no client."""
        self._down.set()
        with contextlib.suppress(OSError):  # wakes a thread that waits in accept
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def come_back(self) -> None:
        """Plug it in again, on the same port."""
        self._down = threading.Event()
        self._listener = self._listen(self.port)
        self._start(self._accept, self._listener)

    def _listen(self, port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), reuse_port=False)

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._down.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._clients.add(client)
            self._start(self._serve_one, client)

    def _serve_one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._serve(client)
        with self._lock:
            self._clients.discard(client)

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _ticks(self) -> Iterator[int]:
        """Frame numbers at the camera's rate until the plug is pulled."""
        number = 0
        while not self._down.wait(self._period_s):
            yield number
            number += 1


class MjpegServer(CameraServer):
    """An HTTP camera: ``multipart/x-mixed-replace`` of JPEG images."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream.mjpg?password=s3cret"

    def _serve(self, client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
        )
        self.connections += 1
        for number in self._ticks():
            image = cv2.imencode(".jpg", numbered_picture(number))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            client.sendall(head.encode() + image + b"\r\n")


class RtspServer(CameraServer):
    """An RTSP camera (RFC 2326): H.264 in single NAL unit mode, interleaved on the connection.

    Args:
        key_frame_every: pictures from one key frame to the next.
        joins_at: pictures of the stream that are over when somebody connects.
        answer: status line of every answer.
    """

    def __init__(
        self,
        *,
        rate_hz: float = 25.0,
        key_frame_every: int = 10,
        joins_at: int = 0,
        answer: str = "200 OK",
    ) -> None:
        self._key_frame_every = key_frame_every
        self._joins_at = joins_at
        self._answer = answer
        super().__init__(rate_hz=rate_hz)

    @property
    def address(self) -> str:
        return f"rtsp://operator:s3cret@127.0.0.1:{self.port}/live"

    def _serve(self, client: socket.socket) -> None:
        requests = client.makefile("rb")
        while head := _request(requests):
            method, sequence = head
            extra, body = "", ""
            if method == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = _SDP
                extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            answer = (
                f"RTSP/1.0 {self._answer}\r\nCSeq: {sequence}\r\nSession: 1\r\n{extra}\r\n{body}"
            )
            client.sendall(answer.encode())
            if method == "PLAY":
                self.connections += 1
                self._play(client)
                return
            if method == "TEARDOWN":
                return

    def _play(self, client: socket.socket) -> None:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        encoder.time_base, encoder.gop_size = Fraction(1, _CLOCK_HZ), self._key_frame_every
        encoder.options = {"tune": "zerolatency", "preset": "ultrafast", "repeat-headers": "1"}
        sequence = 0
        for number in self._ticks():
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="bgr24")
            frame.pts = round(number * self._period_s * _CLOCK_HZ)
            for packet in encoder.encode(frame):
                if number < self._joins_at:
                    continue
                units = _nal_units(bytes(packet))
                for unit in units:
                    kind = _MARKER_PAYLOAD if unit is units[-1] else _PAYLOAD
                    rtp = _RTP.pack(0x80, kind, sequence & 0xFFFF, packet.pts, 7) + unit
                    client.sendall(_INTERLEAVED.pack(b"$", 0, len(rtp)) + rtp)
                    sequence += 1


_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
)


def _request(requests) -> tuple[str, str] | None:
    """(method, CSeq) of the next request; None at the end."""
    line = requests.readline().decode()
    if not line:
        return None
    sequence = "0"
    while (header := requests.readline().decode().strip()) != "":
        name, _, value = header.partition(":")
        if name.lower() == "cseq":
            sequence = value.strip()
    return line.split(" ", 1)[0], sequence


def _nal_units(annex_b: bytes) -> list[bytes]:
    parts = annex_b.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [part for part in parts if part]
