"""The data plane of fastrouter: bytes in -> request -> lookup -> select -> acquire -> send -> relay -> finish.

This file only assembles: one noun per part, in reading order (docs/life-of-a-request.md tells the story). One extension, because
Cython turns calls between classes into direct C calls only inside one module.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport (
    PyUnicode_AsUTF8AndSize, PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ
)
from libc.errno cimport EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from posix.unistd cimport close
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec
from posix.types cimport clockid_t

from binascii import b2a_base64
from calendar import timegm
from collections import deque
from itertools import islice
from email.utils import formatdate
from hashlib import sha1
from heapq import heappush, heappushpop
from json.encoder import encode_basestring
from mmap import mmap
from re import compile as re_compile
from os import register_at_fork, strerror as os_strerror, urandom as os_urandom
from socket import (
    IPPROTO_TCP, SO_KEEPALIVE, SO_LINGER, SOCK_STREAM, SOL_SOCKET, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NOTSENT_LOWAT, gaierror
)
from ssl import MemoryBIO, SSLError, SSLWantReadError, SSLZeroReturnError
from sys import intern
from time import strptime
from traceback import format_exception
from urllib.parse import quote, quote_from_bytes, unquote, urlsplit

import ngh2
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser
from ngh2 import _core as ngh2_core

# Cython's own hints to the C compiler.
cdef extern from *:
    bint likely(bint condition) noexcept nogil

cdef extern from "Python.h":
    bint Py_UNICODE_ISPRINTABLE(uint32_t character) noexcept nogil

cdef extern from "string.h" nogil:
    void* memmem(const void* haystack, size_t haystack_size, const void* needle, size_t needle_size)
    void* memrchr(const void* haystack, int byte, size_t size)

cdef extern from "arpa/inet.h" nogil:
    int AF_INET
    int AF_INET6
    int inet_pton(int family, const char* text, void* packed)
    const char* inet_ntop(int family, const void* packed, char* text, unsigned int size)

cdef extern from "sys/socket.h" nogil:
    int AF_UNIX
    int SOCK_STREAM_NUMBER "SOCK_STREAM"
    int MSG_PEEK
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    int socket(int family, int kind, int protocol)

# In a process with threads, which write the logs, each call of the C library's recv and send costs two more atomic operations:
# a thread may be cancelled there. These are the system calls and nothing else.
cdef extern from *:
    """
    #include <sys/syscall.h>
    #include <unistd.h>
    #define recv_now(descriptor, into, size, flags) syscall(SYS_recvfrom, descriptor, into, size, flags, NULL, NULL)
    #define send_now(descriptor, data, size, flags) syscall(SYS_sendto, descriptor, data, size, flags, NULL, 0)
    """
    ssize_t recv "recv_now"(int descriptor, void* into, size_t size, int flags) nogil
    ssize_t send "send_now"(int descriptor, const void* data, size_t size, int flags) nogil

cdef extern from "sys/epoll.h" nogil:
    uint32_t EPOLLIN
    uint32_t EPOLLRDHUP
    uint32_t EPOLLHUP
    uint32_t EPOLLERR
    uint32_t EPOLLET
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int epoll_create1(int flags)
    int epoll_ctl(int descriptor, int operation, int watched, epoll_event* event)
    int epoll_wait(int descriptor, epoll_event* events, int limit, int timeout)

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int descriptor, unsigned long request, ...)

cdef extern from "<linux/sockios.h>" nogil:
    unsigned long SIOCOUTQ

cdef extern from "time.h" nogil:
    clockid_t CLOCK_MONOTONIC_COARSE
    ctypedef long time_t
    cdef struct tm:
        int tm_sec
        int tm_min
        int tm_hour
        int tm_mday
        int tm_mon
        int tm_year
    tm* gmtime_r(const time_t* at, tm* parts)
    tm* localtime_r(const time_t* at, tm* parts)

# The version of Cython this module was compiled with.
CYTHON_VERSION = cython.__version__

include "core/render/render_buffer.pxi"
include "core/render/quoting.pxi"
include "core/render/dates.pxi"
include "core/render/protobuf.pxi"

include "core/runtime/clocks.pxi"
include "core/runtime/random.pxi"
include "core/runtime/deadlines.pxi"
include "core/runtime/settings.pxi"
include "core/runtime/stats.pxi"
include "core/runtime/route_counters.pxi"
include "core/runtime/route_snapshot.pxi"
include "core/runtime/datagrams.pxi"
include "core/runtime/data_plane.pxi"

include "core/http/header_names.pxi"
include "core/http/head.pxi"
include "core/http/body.pxi"
include "core/http/repair.pxi"
include "core/http/message_validator.pxi"
include "core/http/requoting.pxi"

include "core/io/fair_reader.pxi"
include "core/io/turns.pxi"
include "core/io/socket_writer.pxi"
include "core/io/gathered_writes.pxi"
include "core/io/socket_reader.pxi"
include "core/io/socket_poll.pxi"
include "core/io/tls_transport.pxi"
include "core/io/client_hello.pxi"

include "core/routing/route_policy.pxi"
include "core/routing/endpoint.pxi"
include "core/routing/maglev_table.pxi"
include "core/routing/hash_routing.pxi"
include "core/routing/selection.pxi"
include "core/routing/endpoint_pool.pxi"
include "core/routing/route_table.pxi"
include "core/routing/route_waits.pxi"

include "core/access_log/access_fields.pxi"
include "core/access_log/access_record.pxi"
include "core/access_log/bounded_record.pxi"

include "core/metron/http_start_stop.pxi"
include "core/metron/datagram_runs.pxi"
include "core/metron/metron.pxi"

include "core/spans/span.pxi"
include "core/spans/spans.pxi"

include "core/request/failures.pxi"
include "core/request/sides.pxi"
include "core/request/exchange.pxi"
include "core/request/caller.pxi"
include "core/request/mutual_tls_domain.pxi"
include "core/request/request.pxi"
include "core/request/continue_wait.pxi"
include "core/request/changed_headers.pxi"
include "core/request/handlers.pxi"
include "core/request/guards.pxi"
include "core/request/tracing.pxi"
include "core/request/lookup.pxi"
include "core/request/route_service.pxi"
include "core/request/outgoing_head.pxi"
include "core/request/sticky.pxi"
include "core/request/hash_key.pxi"
include "core/request/round_trip.pxi"
include "core/request/attempt_log.pxi"
include "core/request/response.pxi"
include "core/request/rewriting.pxi"
include "core/request/grpc_status.pxi"
include "core/request/respond.pxi"
include "core/request/tunnel.pxi"

include "core/connections/connection.pxi"
include "core/connections/large_heads.pxi"
include "core/connections/accepted_connection.pxi"
include "core/connections/listener_protocol.pxi"
include "core/connections/proxy_protocol.pxi"
include "core/connections/client_tls.pxi"
include "core/connections/client.pxi"
include "core/connections/client_side.pxi"
include "core/connections/request_checks.pxi"
include "core/connections/refusals.pxi"
include "core/connections/idle_limit.pxi"
include "core/connections/connection_pool.pxi"
include "core/connections/dial.pxi"
include "core/connections/dialled_connection.pxi"
include "core/connections/backend_tls.pxi"
include "core/connections/transport_errors.pxi"
include "core/connections/backend.pxi"
include "core/connections/backend_side.pxi"

include "core/http2/nghttp2.pxi"
include "core/http2/engine_memory.pxi"
include "core/http2/fields.pxi"
include "core/http2/field_lines.pxi"
include "core/http2/frames.pxi"
include "core/http2/stream_output.pxi"
include "core/http2/http2_engine.pxi"
include "core/http2/engine_callbacks.pxi"
include "core/http2/client_session.pxi"
include "core/http2/http2_client.pxi"
include "core/http2/forbidden_suites.pxi"
include "core/http2/http2_client_side.pxi"
include "core/http2/stream_checks.pxi"
include "core/http2/stream_waits.pxi"
include "core/http2/preface_reader.pxi"
include "core/http2/backend_session.pxi"
include "core/http2/http2_pool.pxi"
include "core/http2/http2_backend.pxi"
include "core/http2/http2_backend_side.pxi"

include "core/inspection/shown.pxi"
include "core/inspection/request_walk.pxi"
include "core/inspection/tail.pxi"
include "core/inspection/explain.pxi"
