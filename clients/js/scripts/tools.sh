# The tools of the JavaScript tests, to be sourced: to $RINGPOST_JS_TOOLS, target/js-tools unless it
# says otherwise. A Chromium is not installed.

tools="${RINGPOST_JS_TOOLS:-$(dirname "${BASH_SOURCE[0]}")/../../../target/js-tools}"
mkdir -p "$tools"
tools="$(cd "$tools" && pwd)"

show() {
    printf '+ %s\n' "$*"
    "$@"
}

if ! [[ -d $tools/node_modules/ws && -d $tools/node_modules/esbuild && -d $tools/node_modules/typescript ]]; then
    [[ -f $tools/package.json ]] || echo '{"private":true}' >"$tools/package.json"
    show npm install --prefix "$tools" --no-audit --no-fund --no-package-lock --loglevel=error \
        ws@8 esbuild@0.28 typescript@7
fi

export RINGPOST_JS_TOOLS="$tools"
export RINGPOST_WS="${RINGPOST_WS:-$tools/node_modules/ws}"
