"""What the widget's frame, the desk and a site's owner can do."""

from fastapi import APIRouter

from services.widget.endpoints import chat, desk, events, pages, people, sessions, thread

routers: tuple[APIRouter, ...] = (
    pages.router,
    sessions.router,
    thread.router,
    chat.router,
    people.router,
    events.router,
    desk.router,
)
