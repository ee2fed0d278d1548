"""Behaviour, made and measured."""
