#!/bin/sh
# Alive: it answers at all, be it with an error. The first argument is the port.
timeout 4 redis-cli -h 127.0.0.1 -p "$1" ping >/dev/null
