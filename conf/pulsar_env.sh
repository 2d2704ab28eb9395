#!/usr/bin/env bash
# Shell, read by `bin/pulsar standalone` before the broker starts: what is exported here is the broker's environment.
# As long as every line is a comment no shell is needed. See docs/operate/starting.md.

# Credentials of Amazon S3, of stores that speak its protocol, and of Aliyun OSS:
# export AWS_ACCESS_KEY_ID=
# export AWS_SECRET_ACCESS_KEY=
# export ALIYUN_OSS_ACCESS_KEY_ID=
# export ALIYUN_OSS_ACCESS_KEY_SECRET=

# Options of Java. There is no Java here; three of its properties have their effect: aws.accessKeyId, aws.secretKey, and
# pulsar.extra.offload.drivers, further names of drivers that policies may have, separated by commas.
# PULSAR_EXTRA_OPTS="${PULSAR_EXTRA_OPTS} -Daws.accessKeyId= -Daws.secretKey="

# Another configuration file than conf/standalone.conf:
# PULSAR_STANDALONE_CONF=

# What the log says: error, warn, info, debug, trace.
# PULSAR_LOG_LEVEL=info
