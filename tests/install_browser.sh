#!/bin/bash
# The browser of tests/test_report_browser.py, from Debian, where it can be installed; those tests are skipped if not.
set -u
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" > /dev/null; then exit 0; fi
done
if ! command -v apt-get > /dev/null; then
  echo "no chromium, and no apt-get to install it with: the tests of the report in a browser will be skipped"
  exit 0
fi
as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo --non-interactive); fi
export DEBIAN_FRONTEND=noninteractive
install() { timeout 600 "${as_root[@]}" apt-get -qq "$@" > /dev/null; }
if ! { install update && install install --no-install-recommends chromium; }; then
  echo "chromium cannot be installed here: the tests of the report in a browser will be skipped"
fi
