"""The data plane of fastrouter: bytes in -> request -> lookup -> select -> acquire -> send -> relay -> finish.

This file only assembles: one noun per part, in reading order (docs/life-of-a-request.md tells the story). One extension, because
Cython turns calls between classes into direct C calls only inside one module.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport (
    PyUnicode_AsUTF8AndSize, PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ
)
from libc.errno cimport EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, strlen
from posix.unistd cimport close
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec
from posix.types cimport clockid_t

from binascii import b2a_base64
from calendar import timegm
from collections import deque
from itertools import islice
from email.utils import formatdate
from hashlib import sha1
from json.encoder import encode_basestring
from mmap import mmap
from re import compile as re_compile
from os import register_at_fork, strerror as os_strerror, urandom as os_urandom
from socket import IPPROTO_TCP, SO_KEEPALIVE, SO_LINGER, SOCK_STREAM, SOL_SOCKET, TCP_KEEPIDLE, TCP_KEEPINTVL, gaierror
from ssl import MemoryBIO, SSLError, SSLWantReadError, SSLZeroReturnError
from sys import intern
from time import strptime
from traceback import format_exception
from urllib.parse import quote, unquote, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

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

# Seconds between two looks at the deadlines: every wait may last this much longer than it should.
cdef double TICK_SECONDS = 0.1
# A tick that comes this much after the one before is late: the process was held up.
cdef int64_t LATE_NS = 200000000
# After so many late ticks in a row deadlines hold again.
cdef int LATE_TICKS_MAX = 20
# Between two lines that tell of a want of descriptors.
cdef int64_t STARVED_INTERVAL_NS = 30000000000
# How long a backend may leave `Expect: 100-continue` unanswered before the body is asked for anyway (spec 5.5).
cdef double CONTINUE_SECONDS = 1.0
# How long a client may go on sending after the last answer on its connection.
cdef double LINGER_SECONDS = 1.0

include "core/scratch.pxi"
include "core/deadlines.pxi"
include "core/reader.pxi"
include "core/outlet.pxi"
include "core/inlet.pxi"
include "core/settings.pxi"
include "core/header_names.pxi"
include "core/head.pxi"
include "core/body.pxi"
include "core/repair.pxi"
include "core/judge.pxi"
include "core/failures.pxi"
include "core/datagrams.pxi"
include "core/stats.pxi"
include "core/connection_pool.pxi"
include "core/quoting.pxi"
include "core/access_fields.pxi"
include "core/access_record.pxi"
include "core/endpoint.pxi"
include "core/endpoint_pool.pxi"
include "core/route_table.pxi"
include "core/sticky.pxi"
include "core/rewriting.pxi"
include "core/requoting.pxi"
include "core/continue_wait.pxi"
include "core/exchange.pxi"
include "core/changed_headers.pxi"
include "core/tracing.pxi"
include "core/onion.pxi"
include "core/respond.pxi"
include "core/route_service.pxi"
include "core/route_waits.pxi"
include "core/round_trip.pxi"
include "core/connection.pxi"
include "core/backend.pxi"
include "core/tls_transport.pxi"
include "core/backend_tls.pxi"
include "core/dial.pxi"
include "core/tunnel.pxi"
include "core/refusals.pxi"
include "core/admission.pxi"
include "core/client.pxi"
include "core/client_hello.pxi"
include "core/client_tls.pxi"
include "core/proxy_protocol.pxi"
include "core/front_door.pxi"
