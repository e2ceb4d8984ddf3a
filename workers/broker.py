"""Stands for `workers.service.broker` under its former name, for one release."""

import sys

import workers.service.broker

sys.modules[__name__] = workers.service.broker
