#!/bin/sh
# infra.sh make: regenerates infra/product.bicep, infra/azuredeploy.json and infra/sentinel/.
# infra.sh lint: prints every message of the Bicep compiler about infra/.
#
# The compiler is the one next to the project, else bicep on PATH. Without one, lint passes with a
# note, except in CI. PYTHON is the interpreter.
set -eu
cd "$(dirname "$0")/.."

beside=../shared/tools/bicep/bicep
if [ -x "$beside" ]; then
    bicep=$beside
elif ! bicep=$(command -v bicep); then
    missing="infra: no Bicep compiler found: install it (https://aka.ms/bicep-install) or put bicep on PATH"
    if [ "$1" = lint ] && [ -z "${CI-}" ]; then
        echo "$missing; the Bicep files were not checked"
        exit 0
    fi
    echo "$missing" >&2
    exit 1
fi
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 # else the compiler needs ICU, which it does not use

case $1 in
make)
    "${PYTHON:-python3}" -m scripts.product >infra/product.bicep.new
    mv infra/product.bicep.new infra/product.bicep
    "$bicep" format --pattern 'infra/**/*.bicep'
    "$bicep" build infra/main.bicep --outfile infra/azuredeploy.json
    "${PYTHON:-python3}" -m scripts.sentinel
    ;;
lint)
    # The compiler exits with 0 after warnings, so any output counts as a failure.
    said=$(
        for file in infra/main.bicep infra/main.bicepparam; do
            "$bicep" lint "$file" 2>&1 || echo "$file: bicep lint failed"
        done
        "$bicep" build infra/main.bicep --outfile /dev/null 2>&1 || echo "infra/main.bicep: bicep build failed"
    )
    if [ -n "$said" ]; then
        printf '%s\n' "$said" | sort -u >&2
        exit 1
    fi
    ;;
esac
