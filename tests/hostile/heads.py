"""The corpus: requests whose heads no decent client sends, and what each is answered with."""

HEADS: dict[str, tuple[bytes, int]] = {
    "a header of 20,000 characters": (b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n", 400),
    "a target of 20,000 characters": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 400),
    "a bare carriage return in a header": (b"GET /livez HTTP/1.1\r\nX-A: a\rX-B: b\r\n\r\n", 400),
    "a NUL in a header": (b"GET /livez HTTP/1.1\r\nX-A: a\0b\r\n\r\n", 400),
    "a blank before the colon": (b"GET /livez HTTP/1.1\r\nX-A : a\r\n\r\n", 400),
    "a header without a name": (b"GET /livez HTTP/1.1\r\n: a\r\n\r\n", 400),
    "two lengths": (b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "a length and chunks": (
        b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        400,
    ),
    "a length below nothing": (b"POST /v1/jobs HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "a length in words": (b"POST /v1/jobs HTTP/1.1\r\nContent-Length: two\r\n\r\n{}", 400),
    "a length beyond 64 bits": (b"POST /v1/jobs HTTP/1.1\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n{}", 400),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
    "a method that is none": (b"GE\tT /livez HTTP/1.1\r\n\r\n", 400),
    "a version that is none": (b"GET /livez HTTP/9.9\r\n\r\n", 400),
    "a break in the path": (b"GET /livez%0d%0aX-A:%20b HTTP/1.1\r\n\r\n", 404),
    "a charset that is none": (
        b'POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json; charset="\\""\r\nContent-Length: 2\r\n\r\n{}',
        400,
    ),
    "a content type that is none": (
        b"POST /v1/jobs HTTP/1.1\r\nContent-Type: ;;=/\r\nContent-Length: 2\r\n\r\n{}",
        415,
    ),
}
