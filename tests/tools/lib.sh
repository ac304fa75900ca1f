# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh disable=SC2034
#
# Words of the program's tests. A script runs the program with `run`, then says what it expects; all
# expectations are looked at, and `finish` fails if one was not met.
top_srcdir=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
top_builddir=${top_builddir:-.}
case $top_builddir in /*) ;; *) top_builddir=$(cd "$top_builddir" && pwd) ;; esac
KAJA=${KAJA:-$top_builddir/kaja}
[ -x "$KAJA" ] || { echo "no program $KAJA"; exit 99; }
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 99
dir=$tmp/data
tab=$(printf '\t')
KJ_CODECS=${KJ_CODECS-gzip snappy lz4 zstd}
has_codec() { # has_codec NAME: this build has it
    case " $KJ_CODECS " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# Expectations often stand at the end of a pipe, in a subshell: what failed is noted in a file.
complain() {
    : >"$tmp/bad"
    echo "FAILED: $*"
    echo "   command: kaja $last"
    sed 's/^/   stdout: /' out | head -n 12
    sed 's/^/   stderr: /' err | head -n 12
}

run() { # run ARGUMENTS...: stdout to out, stderr to err, exit status to rc; stdin passes through
    last=$*
    "$KAJA" "$@" >out 2>err
    rc=$?
}

want_rc() { [ "$rc" = "$1" ] || complain "exit status $rc instead of $1"; }
want_out() { # want_out: stdout is exactly stdin
    cat >wanted
    cmp -s out wanted || { complain "other output"; diff wanted out | head -n 20; }
}
want_sorted() { # want_sorted: the lines of stdin in any order
    sort >want
    sort out >out.sorted
    mv out.sorted out
    want_out <want
}
want_no_out() { [ ! -s out ] || complain "output where there should be none"; }
want_no_err() { [ ! -s err ] || complain "something on stderr"; }
want_err() { # want_err TEXT: stderr holds the text
    grep -qF -- "$1" err || complain "stderr lacks: $1"
}
want_in_out() { grep -qF -- "$1" out || complain "stdout lacks: $1"; }
want_match() { grep -qE -- "$1" out || complain "no line of stdout matches: $1"; }
want_one_error_line() { [ "$(wc -l <err)" -eq 1 ] || complain "not one line on stderr"; }

want_json() { # want_json PYTHON-EXPRESSION: stdout is one JSON document d, for which it is true
    command -v python3 >/dev/null 2>&1 || return 0
    python3 -c 'import json, sys
d = json.load(open("out"))
sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" 2>py.err || {
        complain "not the JSON expected: $1"
        tail -n 1 py.err
    }
}

ok() { # ok ARGUMENTS...: a step that must succeed, silently on stderr
    run "$@"
    want_rc 0
    want_no_err
}

finish() {
    [ ! -e "$tmp/bad" ] || exit 1
    echo "all as expected"
    exit 0
}
