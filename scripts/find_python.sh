#!/bin/sh
# Prints the path of the best Python to build .venv with, or says what to install.
#
# The app runs on Python 3.13, so that version comes first. 3.12 and 3.11 are tested as well; newer
# versions are a last resort. A candidate counts only if it runs: a version manager may put a shim
# on PATH without a Python. PYTHON=/path overrides the search.
set -u

# Prints "ok <path>" or "no <reason>". It must run on any Python, however old.
probe='
import sys
version = sys.version_info[:2]
if version < (3, 11):
    print("no it is Python %d.%d, and 3.11 or newer is needed" % version)
    sys.exit()
try:
    import ensurepip, ssl, sysconfig, venv
except ImportError as error:
    print("no %s (on Debian or Ubuntu install python3-venv)" % error)
    sys.exit()
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("no it is not the standard CPython")
    sys.exit()
if sys.argv[1:] and "%d.%d" % version not in sys.argv[1:]:
    print("no it is Python %d.%d" % version)
    sys.exit()
print("ok " + (getattr(sys, "_base_executable", None) or sys.executable))
'

# examine FILE [VERSION...]: prints the probe's answer.
examine() {
    file=$1
    shift
    "$file" -I -c "$probe" "$@" 2>/dev/null </dev/null
}

# try FILE [VERSION...]: prints the interpreter's path and ends the script if FILE is usable.
try() {
    [ -f "$1" ] && [ -x "$1" ] || return 0
    answer=$(examine "$@") || return 0
    case $answer in
    "ok "*)
        printf '%s\n' "${answer#ok }"
        exit 0
        ;;
    esac
}

# on_path NAME [VERSION...]: tries NAME in every folder of PATH.
on_path() {
    name=$1
    shift
    rest=${PATH-}:
    while [ -n "$rest" ]; do
        folder=${rest%%:*}
        rest=${rest#*:}
        try "${folder:-.}/$name" "$@"
    done
}

# in_pyenv VERSION: tries the versions that pyenv has installed, also without its shims.
in_pyenv() {
    for folder in "${PYENV_ROOT:-${HOME-}/.pyenv}/versions/$1"*; do
        try "$folder/bin/python" "$1"
    done
}

if [ -n "${PYTHON-}" ]; then
    file=$(command -v "$PYTHON") || file=$PYTHON
    answer=$(examine "$file") || answer="no it does not run as Python 3"
    case $answer in
    "ok "*)
        printf '%s\n' "${answer#ok }"
        exit 0
        ;;
    esac
    printf '%s\n' "PYTHON=$PYTHON cannot be used: ${answer#no }. Give another one, or unset PYTHON." >&2
    exit 1
fi

on_path python3.13 3.13
in_pyenv 3.13
on_path python3.12 3.12
on_path python3.11 3.11
on_path python3 3.13 3.12 3.11
on_path python 3.13 3.12 3.11
in_pyenv 3.12
in_pyenv 3.11
on_path python3.14 3.14
on_path python3
on_path python
in_pyenv 3.14

echo "No usable Python found: install Python 3.13 (or 3.11 or newer; on Debian or Ubuntu also python3-venv), or give its path with PYTHON=/path/to/python3." >&2
exit 1
