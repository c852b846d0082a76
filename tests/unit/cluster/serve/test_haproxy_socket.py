"""HAProxy's statistics tell which servers take requests, and how many requests are open."""

from __future__ import annotations

from cluster.serve.haproxy_socket import count_requests, servers

STATISTICS = """# pxname,svname,qcur,qmax,scur,smax
prometheus,FRONTEND,,,1,1
http_frontend,FRONTEND,,,40,40
default_backend,BACKEND,0,0,3,3
http-rayroom,SERVE_REPLICA-router-1,0,0,5,9
http-rayroom,SERVE_REPLICA-router-2,0,0,2,9
http-rayroom,fallback,0,0,0,0
http-rayroom,BACKEND,0,0,7,9
stats,FRONTEND,,,1,1
stats,BACKEND,0,0,1,1

"""


def test_each_server_of_an_application_is_named_with_its_backend() -> None:
    assert servers(STATISTICS) == [
        "http-rayroom/SERVE_REPLICA-router-1",
        "http-rayroom/SERVE_REPLICA-router-2",
        "http-rayroom/fallback",
    ]


def test_open_requests_are_those_of_the_applications_backends() -> None:
    assert count_requests(STATISTICS) == 7


def test_an_empty_reply_has_no_servers_and_no_requests() -> None:
    assert servers("\n") == [] and count_requests("\n") == 0
