"""The corpus: addresses that are not for everyone, and every way we know to have a URL lead to one, or to elsewhere."""

PRIVATE = [
    "10.0.0.1", "172.16.3.4", "192.168.1.1", "127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.88.99.1", "198.18.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "203.0.113.7", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "fe80::1", "fe80::1%eth0", "fec0::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::", "2001:db8::1", "3fff::1", "5f00::1", "100::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "104.18.6.192", "2606:4700::6810:7c0", "2a00:1450:4001::200e", "2001:4860::8888"]

REFUSED = [
    "", "x", "//h/x", "https:/h", "https://", "ftp://h/x", "file:///etc/passwd", "data:image/png;base64,AA==",
    "gopher://h", "http://example.com/a.png", "https://user@example.com/", "https://user:pw@example.com/",
    "https://@example.com/", "https://example.com\\@127.0.0.1/", "https://exa mple.com/", "https://a..b/",
    "https://example.com/\r\nX: y", "https://example.com/\x00", "https://127.0.0.1/", "https://127.0.0.1./",
    "https://127.1/", "https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/", "https://0x7f000001/",
    "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[::1",
    "https://[fe80::1%25eth0]/", "https://localhost/", "https://LOCALHOST./", "https://a.localhost/",
    "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/", "https://%31%32%37.0.0.1/",
    "https://h:99999/", "https://169.254.169.254/latest/meta-data/",
]  # fmt: skip

ODD = [
    "https://example.com:443@127.0.0.1/", "https://127.0.0.1#@example.com/", "https://127.0.0.1?@example.com/",
    "https://example.com%00.evil/", "https://example.com%0d%0aHost:%20a/", "https://0/",
    "https://127.0.0.1%2f@example.com/", "https://[0:0:0:0:0:ffff:7f00:1]/", "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/", "https://[fd00:ec2::254]/", "https://meta\tdata/", "https://\u2460\u2461\u2466.0.0.1/",
    "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/", "https://loc\u00adalhost/", "https://xn--/",
    "https://169\uff0e254\uff0e169\uff0e254/", "https://0251.0376.0251.0376/", "https://0xa9fea9fe/",
    "https://127.0.0.1.:443/", "HTTPS://LOCALHOST/", "https:///example.com/", "https:127.0.0.1", "https://-/",
]  # fmt: skip
"""Userinfo tricks, encoded breaks, odd spellings of addresses, and IDNA's foldings of letters into them."""
