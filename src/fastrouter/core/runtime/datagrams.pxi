# Datagrams: many in few system calls, without the GIL, for a thread beside the event loop.
#
# With Python's socket.send the thread would take the GIL again for each datagram, and wait for it each time under load.

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int sendmmsg(int descriptor, mmsghdr* messages, unsigned int count, int flags)


def send_datagrams(int descriptor, list messages not None):
    """Send each of `messages` (bytes) over a connected, blocking socket: (how many were lost, errno of the last loss or 0)."""
    cdef Py_ssize_t count = PyList_GET_SIZE(messages)
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t lost = 0
    cdef Py_ssize_t i
    cdef int sent, number
    cdef int last = 0
    cdef bytes message
    cdef mmsghdr* headers = <mmsghdr*>calloc(max(count, 1), sizeof(mmsghdr) + sizeof(iovec))
    cdef iovec* vectors = <iovec*>(headers + count)
    if headers == NULL:
        raise MemoryError()
    try:
        for i in range(count):
            message = messages[i]
            vectors[i].iov_base = PyBytes_AS_STRING(message)
            vectors[i].iov_len = PyBytes_GET_SIZE(message)
            headers[i].msg_hdr.msg_iov = &vectors[i]
            headers[i].msg_hdr.msg_iovlen = 1
        with nogil:
            while at < count:
                sent = sendmmsg(descriptor, headers + at, <unsigned int>min(count - at, 1024), 0)
                if sent > 0:
                    at += sent
                    continue
                number = errno
                if number == EINTR:
                    continue
                lost += 1
                last = number
                # ECONNREFUSED is about an earlier datagram, which is lost; this one was not sent yet.
                if number != ECONNREFUSED:
                    at += 1
    finally:
        free(headers)
    return lost, last
