#!/bin/sh
# The examples with the stock `nats` command (github.com/nats-io/natscli).
#
#   sh stock-cli.sh sub|sub-headers|next|consumer|get|replay|cmd|terminals [ARGUMENTS]
#
# Where and as whom: NATS_URL, NATS_CREDS, NATS_CA, as for every `nats` command. TERMINAL,
# CONSUMER, API say whom and by what; copy the lines that you need.
set -eu
TERMINAL=${TERMINAL:-00000040}
DEVICE=${DEVICE:-7}
CONSUMER=${CONSUMER:-display}
API=${API:-central.API} # of subscribers; '$JS.API' on a server without accounts

what=${1:-help}
[ $# -eq 0 ] || shift
case $what in
sub) # critical events of a device (7, the cash dispenser) of every terminal, the XML alone
  nats sub "evt.*.$DEVICE.critical.*" --raw "$@" ;;
sub-headers) # everything of one terminal, with the CloudEvents attributes
  nats sub "evt.$TERMINAL.*.*.*" "$@" ;;
next) # take events by your durable consumer, and confirm them
  nats consumer next EVT "$CONSUMER" --js-api-prefix "$API" --inbox-prefix "_INBOX.$CONSUMER" --ack "$@" ;;
consumer) # make a durable consumer: operators
  nats consumer add EVT "$CONSUMER" --filter "evt.*.$DEVICE.>" --pull --deliver all --replay instant --ack explicit --wait 30s \
    --max-pending 1000 --defaults "$@" ;;
get) # the last event that the hub has of a terminal: operators
  nats stream get EVT --last-for "evt.$TERMINAL.>" "$@" ;;
replay) # stored events of a device in order, and then what comes: operators
  nats sub --stream EVT --all "evt.*.$DEVICE.>" "$@" ;;
cmd) # ask a terminal, over its link: operators
  nats req "cmd.$TERMINAL.GET_STATUS" CIM "$@" ;;
terminals) # who is linked: operators
  nats micro ls terminal "$@" ;;
*)
  sed -n 's/^\([a-z-]*\)) # /  \1: /p' "$0" ;;
esac
