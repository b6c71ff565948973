# http2: HTTP/2 on either side: fields as text of HTTP/1.1, and the connections whose streams carry exchanges.
