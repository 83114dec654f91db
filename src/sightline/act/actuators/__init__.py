"""Actuators: commands to machines, over MQTT, to a web server or to a file."""

from sightline.act.actuators.actuator import Actuator
from sightline.act.actuators.broker_address import BrokerAddress
from sightline.act.actuators.command_receiver import CommandReceiver
from sightline.act.actuators.command_sender import CommandSender
from sightline.act.actuators.json_lines_actuator import JsonLinesActuator
from sightline.act.actuators.mqtt_actuator import MqttActuator
from sightline.act.actuators.webhook_actuator import WebhookActuator

__all__ = [
    "Actuator",
    "BrokerAddress",
    "CommandReceiver",
    "CommandSender",
    "JsonLinesActuator",
    "MqttActuator",
    "WebhookActuator",
]
