# cython: overflowcheck=False
# Contents of the data plane: every class with its fields, one clause each (units, who writes it), folder by folder.
# Methods are documented where they are defined, in core/*/*.pxi.

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"   # a bint of one byte, for fields

include "core/render/contents.pxd"
include "core/runtime/contents.pxd"
include "core/http/contents.pxd"
include "core/io/contents.pxd"
include "core/routing/contents.pxd"
include "core/access_log/contents.pxd"
include "core/metron/contents.pxd"
include "core/spans/contents.pxd"
include "core/request/contents.pxd"
include "core/connections/contents.pxd"
include "core/http2/nghttp2.pxd"
include "core/http2/contents.pxd"
include "core/inspection/contents.pxd"
