"""One module for each thing a caller can do; `routers` lists them."""

from fastapi import APIRouter

from services.answer.endpoints import (
    affected,
    answers,
    chat,
    conversations,
    customers,
    feedback,
    handoffs,
    health,
    openai,
    search,
)

routers: tuple[APIRouter, ...] = (
    chat.router,
    openai.router,
    affected.router,
    answers.router,
    feedback.router,
    search.router,
    conversations.router,
    handoffs.router,
    customers.router,
    health.router,
)
