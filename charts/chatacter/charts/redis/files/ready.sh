#!/bin/sh
# Ready: it answers, has read its log, and can write it. The first argument is the port.
test "$(timeout 4 redis-cli -h 127.0.0.1 -p "$1" ping)" = PONG
