# Datagram runs: many datagrams in few calls. Those of one size go through the kernel together, which costs a quarter per datagram
# (UDP_SEGMENT, Linux 4.18); so they are sent in another order than they came in.

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_UDP_NUMBER "IPPROTO_UDP"

cdef extern from "<sys/socket.h>" nogil:
    int SOL_SOCKET_NUMBER "SOL_SOCKET"
    int SO_ERROR
    int getsockopt(int descriptor, int level, int name, void* value, socklen_t* room)
    ssize_t sendmsg(int descriptor, const msghdr* message, int flags)

cdef extern from *:
    """
    #include <netinet/udp.h>
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    union segment_control { struct cmsghdr header; char room[CMSG_SPACE(sizeof(uint16_t))]; };
    static inline void ask_for_segments(struct msghdr *message, union segment_control *control, uint16_t size) {
        memset(control, 0, sizeof *control);
        message->msg_control = control;
        message->msg_controllen = sizeof control->room;
        control->header.cmsg_level = IPPROTO_UDP;
        control->header.cmsg_type = UDP_SEGMENT;
        control->header.cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(&control->header), &size, sizeof size);
    }
    """
    int UDP_SEGMENT
    ctypedef struct segment_control "union segment_control":
        pass
    void ask_for_segments(msghdr* message, segment_control* control, int each) noexcept nogil


cdef class DatagramRuns:
    """Sends up to ENVELOPES_MAX datagrams at a time over a connected socket, never waiting."""

    def __cinit__(self, int descriptor):
        cdef int number = 0
        cdef socklen_t room = sizeof(int)
        # A kernel that does not know it would send them as one.
        self.has_segments = getsockopt(descriptor, IPPROTO_UDP_NUMBER, UDP_SEGMENT, &number, &room) == 0
        self.runs = <DatagramRun*>malloc(ENVELOPES_MAX * sizeof(DatagramRun))
        self.following = <int*>malloc(ENVELOPES_MAX * sizeof(int))
        if self.runs == NULL or self.following == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.runs)
        free(self.following)

    cdef int send(self, int descriptor, const char* data, const Py_ssize_t* ends, int count) except -1:
        """Send the datagrams of `data`, of which number i ends at `ends[i + 1]`, while there is room for them.

        Returns 0, or the errno of what ended it; ECONNREFUSED may be that of earlier ones.
        """
        cdef int number = 0
        cdef int runs = self._sort(ends, count)
        cdef int at
        cdef socklen_t room = sizeof(int)
        for at in range(runs):
            number = self._send_run(descriptor, data, ends, &self.runs[at])
            if number:
                return number
        # On the machine itself the answer of a port where nobody listens is there already.
        getsockopt(descriptor, SOL_SOCKET_NUMBER, SO_ERROR, &number, &room)
        return number

    cdef int _sort(self, const Py_ssize_t* ends, int count) noexcept:
        """Make runs, in the order of their first datagrams. Returns their number."""
        cdef DatagramRun* run
        cdef int runs = 0
        cdef int oldest = 0
        cdef int at, i
        cdef Py_ssize_t size
        for i in range(count):
            size = ends[i + 1] - ends[i]
            run = NULL
            if self.has_segments and size <= RUN_DATAGRAM_MAX:
                for at in range(runs - 1, oldest - 1, -1):
                    if self.runs[at].size == size:
                        if self.runs[at].count < RUN_DATAGRAMS_MAX and (self.runs[at].count + 1) * size <= RUN_BYTES_MAX:
                            run = &self.runs[at]
                        break
            if run != NULL:
                self.following[run.last] = i
                run.last = i
                run.count += 1
                continue
            run = &self.runs[runs]
            run.size = size
            run.count = 1
            run.first = run.last = i
            runs += 1
            oldest = max(0, runs - OPEN_RUNS)
        return runs

    cdef int _send_run(self, int descriptor, const char* data, const Py_ssize_t* ends, DatagramRun* run) noexcept:
        cdef segment_control control
        cdef msghdr message
        cdef iovec vectors[RUN_DATAGRAMS_MAX]
        cdef int place = run.first
        cdef int i
        if run.count > 1 and self.has_segments:
            for i in range(run.count):
                vectors[i].iov_base = <void*>(data + ends[place])
                vectors[i].iov_len = run.size
                place = self.following[place]
            memset(&message, 0, sizeof(message))
            message.msg_iov = vectors
            message.msg_iovlen = run.count
            ask_for_segments(&message, &control, <int>run.size)
            if sendmsg(descriptor, &message, MSG_DONTWAIT) >= 0:
                return 0
            if ends_sending(errno):
                return errno
            # Not on this way.
            self.has_segments = False
            place = run.first
        for i in range(run.count):
            # What cannot be sent for what it is, is passed over.
            if send(descriptor, data + ends[place], run.size, MSG_DONTWAIT) < 0 and ends_sending(errno):
                return errno
            place = self.following[place]
        return 0


cdef inline bint ends_sending(int number) noexcept nogil:
    """Whether what comes next cannot be sent either: there is no room, or nobody listens."""
    return number == EAGAIN or number == ENOBUFS or number == ECONNREFUSED
