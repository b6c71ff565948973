# nghttp2: libnghttp2, out of the wheel of ngh2, by its C API (ADR 16). No other file knows where it comes from.
#
# ngh2 links libnghttp2 into its extension, which exports all of its functions. They are looked up once, at import, in the library
# that the interpreter has loaded already; ngh2's own classes are not used.

cdef tuple NGHTTP2_FUNCTIONS = (
    b"strerror", b"session_callbacks_new", b"session_callbacks_set_on_begin_frame_callback",
    b"session_callbacks_set_on_begin_headers_callback", b"session_callbacks_set_on_header_callback",
    b"session_callbacks_set_on_invalid_header_callback", b"session_callbacks_set_on_data_chunk_recv_callback",
    b"session_callbacks_set_on_frame_recv_callback", b"session_callbacks_set_on_invalid_frame_recv_callback",
    b"session_callbacks_set_on_frame_send_callback", b"session_callbacks_set_on_stream_close_callback",
    b"session_callbacks_set_send_data_callback", b"session_callbacks_set_rand_callback",
    b"option_new", b"option_del", b"option_set_no_auto_window_update", b"option_set_stream_reset_rate_limit",
    b"option_set_max_continuations", b"option_set_max_send_header_block_length",
    b"option_set_max_deflate_dynamic_table_size", b"option_set_builtin_recv_extension_type",
    b"session_server_new3", b"session_client_new3", b"session_del", b"session_mem_recv2", b"session_mem_send2",
    b"session_want_read", b"session_consume", b"session_set_local_window_size",
    b"session_set_stream_user_data", b"session_get_stream_user_data",
    b"session_get_stream_local_close", b"session_get_stream_remote_close", b"session_get_stream_remote_window_size",
    b"session_get_last_proc_stream_id",
    b"session_get_extpri_stream_priority", b"session_change_extpri_stream_priority",
    b"session_terminate_session", b"session_resume_data",
    b"submit_settings", b"submit_request2", b"submit_response2", b"submit_headers", b"submit_trailer",
    b"submit_rst_stream", b"submit_ping", b"submit_goaway", b"submit_shutdown_notice",
)

cdef NGHTTP2 nghttp2


cdef int _bind_nghttp2() except -1:
    """Look the functions up. Raises ImportError with what to do."""
    cdef str path = ngh2_core.__file__
    cdef void* library = dlopen(path.encode(), RTLD_LAZY | RTLD_NOLOAD)
    cdef Py_ssize_t i
    # Which libnghttp2 a version of ngh2 has in it, is its own affair: its `nghttp2_version` is not linked.
    if not ngh2.__version__.startswith("0.3."):
        raise ImportError(f"ngh2 {ngh2.__version__} ({path}) is not 0.3, whose libnghttp2 fastrouter knows; install ngh2 0.3.0")
    assert sizeof(NGHTTP2) == len(NGHTTP2_FUNCTIONS) * sizeof(void*)
    for i in range(PyTuple_GET_SIZE(NGHTTP2_FUNCTIONS)):
        symbol = b"nghttp2_" + <bytes>NGHTTP2_FUNCTIONS[i]
        (<void**>&nghttp2)[i] = NULL if library == NULL else dlsym(library, symbol)
        if (<void**>&nghttp2)[i] == NULL:
            raise ImportError(f"ngh2 {ngh2.__version__} ({path}) does not export {symbol.decode()}; install ngh2 0.3.0")
    return 0


_bind_nghttp2()
