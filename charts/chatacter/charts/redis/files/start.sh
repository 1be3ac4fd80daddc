#!/bin/sh
# Starts the server with the configuration named by the first argument. The password reaches it as its SHA-256 through
# standard input: so any character may stand in it, and neither `ps` nor a file nor CONFIG GET shows it.
set -eu
umask 0077
: "${REDISCLI_AUTH:?The password is empty.}"
hash=$(printf %s "$REDISCLI_AUTH" | sha256sum | cut -d ' ' -f 1)
exec redis-server "$1" - <<END
user default on sanitize-payload #$hash ~* &* +@all
END
