#!/bin/sh
# infra.sh make: brings infra/product.bicep and infra/azuredeploy.json in line with their sources.
# infra.sh lint: reports whatever the Bicep compiler has to say of infra/.
#
# The compiler is the one beside the project, else bicep on PATH. Without one, lint passes with a
# note, except in CI. PYTHON names the interpreter.
set -eu
cd "$(dirname "$0")/.."

beside=../shared/tools/bicep/bicep
if [ -x "$beside" ]; then
    bicep=$beside
elif ! bicep=$(command -v bicep); then
    missing="infra: no Bicep compiler found (https://aka.ms/bicep-install, or put bicep on PATH)"
    if [ "$1" = lint ] && [ -z "${CI-}" ]; then
        echo "$missing; its sources were not checked"
        exit 0
    fi
    echo "$missing" >&2
    exit 1
fi
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 # it would need ICU and has no use for it

case $1 in
make)
    "${PYTHON:-python3}" -m scripts.product >infra/product.bicep.new
    mv infra/product.bicep.new infra/product.bicep
    "$bicep" format --pattern 'infra/**/*.bicep'
    "$bicep" build infra/main.bicep --outfile infra/azuredeploy.json
    ;;
lint)
    # It exits with 0 after warnings, so that it is what it says that counts.
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
