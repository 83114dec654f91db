"""Brokers: one way to read from and write to NATS JetStream, Kafka, RabbitMQ and MQTT 5.

A reader gives messages with a position each and is told what is kept; a writer returns when the
broker has what it was given. Rows, contracts, logs and alerts are known above; nothing here looks
into a message.
"""
