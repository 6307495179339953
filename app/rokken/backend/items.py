# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of the items: create, list, read, update, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .database import Database
from .models import DESCRIPTION_LENGTH, NAME_LENGTH, Item

LARGEST_ID = 2**63 - 1
LARGEST_PAGE = 100


def _one_line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must not contain control characters")
    return value


def _no_nul(value: str) -> str:
    # PostgreSQL cannot store this character.
    if "\0" in value:
        raise ValueError("must not contain the character NUL")
    return value


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LENGTH, strict=True),
    AfterValidator(_one_line),
]
Description = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=DESCRIPTION_LENGTH, strict=True),
    AfterValidator(_no_nul),
]
ItemId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


class ItemIn(BaseModel):
    """What a client may set."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description = ""


class ItemOut(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    """A part of the list, the newest item first."""

    items: list[ItemOut]
    total: int
    limit: int
    offset: int


def _get(session: Session, item_id: int) -> Item:
    item = session.get(Item, item_id)
    if item is None:
        raise HTTPException(404, f"Item {item_id} does not exist.")
    return item


def create_router(database: Database) -> APIRouter:
    """Create the routes. They run in threads, so a slow database does not stop the probes."""
    router = APIRouter(prefix="/api/items", tags=["items"])

    @router.post("", status_code=201)
    def create(body: ItemIn, response: Response) -> ItemOut:
        with database.transaction() as session:
            item = Item(name=body.name, description=body.description)
            session.add(item)
            session.flush()
            session.refresh(item)
        response.headers["Location"] = f"/api/items/{item.id}"
        return ItemOut.model_validate(item)

    @router.get("")
    def list_items(
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 20,
        offset: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    ) -> Page:
        with database.transaction() as session:
            found = session.scalars(select(Item).order_by(Item.id.desc()).limit(limit).offset(offset)).all()
            total = session.scalar(select(func.count()).select_from(Item)) or 0
        items = [ItemOut.model_validate(item) for item in found]
        return Page(items=items, total=total, limit=limit, offset=offset)

    @router.get("/{item_id}")
    def read(item_id: ItemId) -> ItemOut:
        with database.transaction() as session:
            return ItemOut.model_validate(_get(session, item_id))

    @router.put("/{item_id}")
    def update(item_id: ItemId, body: ItemIn) -> ItemOut:
        with database.transaction() as session:
            item = _get(session, item_id)
            item.name, item.description = body.name, body.description
            session.flush()
            session.refresh(item)
        return ItemOut.model_validate(item)

    @router.delete("/{item_id}", status_code=204)
    def delete(item_id: ItemId) -> None:
        with database.transaction() as session:
            session.delete(_get(session, item_id))

    return router
