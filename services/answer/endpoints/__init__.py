"""One module for each thing a caller can do; `routers` lists them."""

from fastapi import APIRouter

from services.answer.endpoints import answers, chat, conversations, feedback, health, search

routers: tuple[APIRouter, ...] = (
    chat.router,
    answers.router,
    feedback.router,
    search.router,
    conversations.router,
    health.router,
)
