# nghttp2: the part of libnghttp2's C API that is used here. Layouts and numbers are those of its version 1, whose ABI (SONAME 14)
# has not changed since.

cdef extern from "dlfcn.h" nogil:
    int RTLD_LAZY
    int RTLD_NOLOAD
    void* dlopen(const char* file, int flags)
    void* dlsym(void* library, const char* symbol)

cdef enum:
    # What its functions return and callbacks may return.
    NGHTTP2_DEFERRED = -508
    NGHTTP2_STREAM_FAILURE = -521       # "temporal callback failure": it ends the stream
    NGHTTP2_PAUSE = -526
    NGHTTP2_WRONG_FIELD = -531          # why a frame is invalid
    NGHTTP2_WRONG_MESSAGE = -532
    NGHTTP2_NO_MEMORY = -901
    NGHTTP2_CALLBACK_FAILURE = -902     # it ends the session
    NGHTTP2_FLOODED = -904
    NGHTTP2_TOO_MANY_CONTINUATIONS = -905

cdef enum:
    # Of a read of body.
    NGHTTP2_EOF = 1
    NGHTTP2_NO_END_STREAM = 2
    NGHTTP2_NO_COPY = 4

cdef enum:
    NGHTTP2_REQUEST_HEADERS = 0         # category of HEADERS that begin a stream of a client

cdef enum:
    NGHTTP2_NO_INDEX = 1                # flag of a field that is never indexed

cdef enum:
    SETTING_HEADER_TABLE_SIZE = 1
    SETTING_ENABLE_PUSH = 2
    SETTING_MAX_CONCURRENT_STREAMS = 3
    SETTING_INITIAL_WINDOW_SIZE = 4
    SETTING_MAX_HEADER_LIST_SIZE = 6
    SETTING_ENABLE_CONNECT_PROTOCOL = 8
    SETTING_NO_RFC7540_PRIORITIES = 9

cdef struct NGField:
    const char* name
    const char* value
    size_t name_size
    size_t value_size
    uint8_t flags

cdef struct NGFrameHead:
    size_t length
    int32_t stream
    uint8_t kind                # FRAME_*
    uint8_t flags               # FRAME_FLAG_*
    uint8_t reserved

cdef struct NGHeaders:
    NGFrameHead head
    size_t padding
    int32_t parent
    int32_t weight
    uint8_t is_exclusive
    NGField* fields
    size_t field_count
    int category

cdef struct NGPriority:
    NGFrameHead head
    int32_t parent
    int32_t weight
    uint8_t is_exclusive

cdef struct NGReset:
    NGFrameHead head
    uint32_t code

cdef struct NGSetting:
    int32_t identifier          # SETTING_*
    uint32_t value

cdef struct NGSettings:
    NGFrameHead head
    size_t count
    NGSetting* settings

cdef struct NGGoAway:
    NGFrameHead head
    int32_t last_stream
    uint32_t code
    const char* text
    size_t size
    uint8_t reserved

cdef union NGFrame:
    NGFrameHead head
    NGHeaders headers
    NGPriority priority
    NGReset reset
    NGSettings settings
    NGGoAway goaway

cdef union NGSource:
    int descriptor
    void* pointer

# How RFC 9218 has a stream take its turn among others.
cdef struct NGUrgency:
    uint32_t urgency
    int is_incremental

ctypedef Py_ssize_t (*NGReadBody)(
    void* session, int32_t stream, uint8_t* into, size_t size, uint32_t* flags, NGSource* source, void* user
) noexcept

cdef struct NGBody:
    NGSource source
    NGReadBody read

ctypedef int (*NGOnFrame)(void* session, const NGFrame* frame, void* user) noexcept
ctypedef int (*NGOnInvalidFrame)(void* session, const NGFrame* frame, int error, void* user) noexcept
ctypedef int (*NGOnFrameHead)(void* session, const NGFrameHead* head, void* user) noexcept
ctypedef int (*NGOnField)(
    void* session, const NGFrame* frame, const char* name, size_t name_size, const char* value, size_t value_size,
    uint8_t flags, void* user
) noexcept
ctypedef int (*NGOnData)(void* session, uint8_t flags, int32_t stream, const char* data, size_t size, void* user) noexcept
ctypedef int (*NGOnStreamClosed)(void* session, int32_t stream, uint32_t code, void* user) noexcept
ctypedef int (*NGSendBody)(
    void* session, NGFrame* frame, const char* head, size_t size, NGSource* source, void* user
) noexcept
ctypedef void (*NGRandom)(uint8_t* into, size_t size) noexcept

cdef struct NGMemory:
    void* user
    void* (*malloc)(size_t size, void* user) noexcept
    void (*free)(void* memory, void* user) noexcept
    void* (*calloc)(size_t count, size_t size, void* user) noexcept
    void* (*realloc)(void* memory, size_t size, void* user) noexcept

# Its functions, by their names without `nghttp2_`. NGHTTP2_FUNCTIONS has them in the same order.
cdef struct NGHTTP2:
    const char* (*strerror)(int error) noexcept
    int (*callbacks_new)(void** callbacks) noexcept
    void (*set_on_begin_frame)(void* callbacks, NGOnFrameHead function) noexcept
    void (*set_on_begin_headers)(void* callbacks, NGOnFrame function) noexcept
    void (*set_on_header)(void* callbacks, NGOnField function) noexcept
    void (*set_on_invalid_header)(void* callbacks, NGOnField function) noexcept
    void (*set_on_data)(void* callbacks, NGOnData function) noexcept
    void (*set_on_frame_recv)(void* callbacks, NGOnFrame function) noexcept
    void (*set_on_invalid_frame)(void* callbacks, NGOnInvalidFrame function) noexcept
    void (*set_on_frame_sent)(void* callbacks, NGOnFrame function) noexcept
    void (*set_on_stream_close)(void* callbacks, NGOnStreamClosed function) noexcept
    void (*set_send_data)(void* callbacks, NGSendBody function) noexcept
    void (*set_rand)(void* callbacks, NGRandom function) noexcept
    int (*option_new)(void** option) noexcept
    void (*option_del)(void* option) noexcept
    void (*set_no_auto_window_update)(void* option, int value) noexcept
    void (*set_stream_reset_rate_limit)(void* option, uint64_t burst, uint64_t rate) noexcept
    void (*set_max_continuations)(void* option, size_t value) noexcept
    void (*set_max_send_header_block_length)(void* option, size_t value) noexcept
    void (*set_max_deflate_dynamic_table_size)(void* option, size_t value) noexcept
    void (*set_builtin_recv_extension_type)(void* option, uint8_t kind) noexcept
    int (*session_server_new)(
        void** session, const void* callbacks, void* user, const void* option, NGMemory* memory
    ) noexcept
    int (*session_client_new)(
        void** session, const void* callbacks, void* user, const void* option, NGMemory* memory
    ) noexcept
    void (*session_del)(void* session) noexcept
    Py_ssize_t (*mem_recv)(void* session, const char* data, size_t size) noexcept
    Py_ssize_t (*mem_send)(void* session, const char** data) noexcept
    int (*want_read)(void* session) noexcept
    int (*consume)(void* session, int32_t stream, size_t size) noexcept
    int (*set_local_window_size)(void* session, uint8_t flags, int32_t stream, int32_t size) noexcept
    int (*set_stream_user_data)(void* session, int32_t stream, void* user) noexcept
    void* (*get_stream_user_data)(void* session, int32_t stream) noexcept
    int (*get_stream_local_close)(void* session, int32_t stream) noexcept
    int (*get_stream_remote_close)(void* session, int32_t stream) noexcept
    int32_t (*get_stream_remote_window)(void* session, int32_t stream) noexcept
    int (*get_last_proc_stream_id)(void* session) noexcept
    int (*get_urgency)(void* session, NGUrgency* urgency, int32_t stream) noexcept
    int (*change_urgency)(void* session, int32_t stream, const NGUrgency* urgency, int ignores_client) noexcept
    int (*terminate)(void* session, uint32_t code) noexcept
    int (*resume_data)(void* session, int32_t stream) noexcept
    int (*submit_settings)(void* session, uint8_t flags, const NGSetting* settings, size_t count) noexcept
    int32_t (*submit_request)(
        void* session, const void* priority, const NGField* fields, size_t count, const NGBody* body, void* stream_user
    ) noexcept
    int (*submit_response)(
        void* session, int32_t stream, const NGField* fields, size_t count, const NGBody* body
    ) noexcept
    int32_t (*submit_headers)(
        void* session, uint8_t flags, int32_t stream, const void* priority, const NGField* fields, size_t count, void* user
    ) noexcept
    int (*submit_trailer)(void* session, int32_t stream, const NGField* fields, size_t count) noexcept
    int (*submit_rst_stream)(void* session, uint8_t flags, int32_t stream, uint32_t code) noexcept
    int (*submit_ping)(void* session, uint8_t flags, const uint8_t* opaque) noexcept
    int (*submit_goaway)(
        void* session, uint8_t flags, int32_t last_stream, uint32_t code, const char* text, size_t size
    ) noexcept
    int (*submit_shutdown_notice)(void* session) noexcept
