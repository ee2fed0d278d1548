"""One module for each thing a caller can do; `routers` lists them."""

from fastapi import APIRouter

from services.answer.endpoints import (
    affected,
    answers,
    approved,
    caller,
    chat,
    conversations,
    customers,
    documents,
    feedback,
    handoffs,
    health,
    openai,
    questions,
    replays,
    search,
)

routers: tuple[APIRouter, ...] = (
    chat.router,
    openai.router,
    affected.router,
    answers.router,
    questions.router,
    approved.router,
    documents.router,
    feedback.router,
    search.router,
    conversations.router,
    handoffs.router,
    customers.router,
    caller.router,
    replays.router,
    health.router,
)
