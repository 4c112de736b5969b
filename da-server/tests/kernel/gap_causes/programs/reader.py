# Reads responses with http.client, after it has read nothing for a while.
#
#     reader.py HOST PATH STOP_MS REQUESTS

import http.client
import sys
import time

host, path, stop_ms, requests = sys.argv[1:]
for _ in range(int(requests)):
    connection = http.client.HTTPConnection(host)
    connection.request("GET", path)
    response = connection.getresponse()
    time.sleep(int(stop_ms) / 1000)
    while response.read1(65536):
        pass
    connection.close()
