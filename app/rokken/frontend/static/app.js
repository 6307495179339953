// Copyright (c) The Drystone authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// The page of Rokken: lists, creates, updates and deletes items through the API, and shows its errors.
"use strict";

const PAGE_SIZE = 10;
const TIMEOUT_MS = 20_000;

const element = (id) => document.getElementById(id);
const fields = ["name", "description"];

// The item that the form changes; null while it adds a new one
let edited = null;
let offset = 0;

class ApiError extends Error {
  constructor(message, status, invalid = {}) {
    super(message);
    this.status = status;
    this.invalid = invalid;
  }
}

async function request(method, path, body) {
  let response;
  try {
    response = await fetch(`api/items${path}`, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new ApiError(
      error.name === "TimeoutError"
        ? "The server did not answer in time. Reload the page to see whether the change was stored."
        : "The server cannot be reached. Check your connection and try again.",
      0,
    );
  }
  if (response.status === 204) {
    return null;
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new ApiError(answer.detail || `The server answered with status ${response.status}.`, response.status, answer.fields);
  }
  return answer;
}

function showMessage(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

function showInvalid(invalid = {}) {
  for (const field of fields) {
    const message = element(`${field}-error`);
    message.textContent = invalid[field] || "";
    message.hidden = !invalid[field];
    element(field).setAttribute("aria-invalid", String(Boolean(invalid[field])));
  }
}

function showEditor(item) {
  edited = item;
  for (const field of fields) {
    element(field).value = item ? item[field] : "";
  }
  element("editor-title").textContent = item ? `Change item ${item.id}` : "Add an item";
  element("save").textContent = item ? "Save" : "Add";
  element("cancel").hidden = !item;
  showInvalid();
}

function show(item) {
  const shown = element("item").content.cloneNode(true);
  shown.querySelector("li").dataset.id = item.id;
  // textContent never becomes markup, whatever a user wrote.
  shown.querySelector("h3").textContent = item.name;
  shown.querySelector(".description").textContent = item.description;
  const time = shown.querySelector("time");
  time.dateTime = item.updated_at;
  time.textContent = new Date(item.updated_at).toLocaleString();
  const edit = shown.querySelector(".edit");
  edit.setAttribute("aria-label", `Edit ${item.name}`);
  edit.addEventListener("click", () => {
    showEditor(item);
    element("name").focus();
  });
  const remove = shown.querySelector(".delete");
  remove.setAttribute("aria-label", `Delete ${item.name}`);
  remove.addEventListener("click", () => {
    if (confirm(`Delete "${item.name}"?`)) {
      run(() => removeItem(item));
    }
  });
  return shown;
}

async function load() {
  let page = await request("GET", `?limit=${PAGE_SIZE}&offset=${offset}`);
  if (page.items.length === 0 && offset > 0) {
    // The last item of the last page was deleted.
    offset = Math.max(0, Math.ceil(page.total / PAGE_SIZE) - 1) * PAGE_SIZE;
    page = await request("GET", `?limit=${PAGE_SIZE}&offset=${offset}`);
  }
  element("items").replaceChildren(...page.items.map(show));
  element("count").textContent = page.total === 1 ? "1 item" : `${page.total} items`;
  element("empty").hidden = page.total > 0;
  element("pages").hidden = page.total <= PAGE_SIZE;
  element("page").textContent = `Page ${offset / PAGE_SIZE + 1} of ${Math.ceil(page.total / PAGE_SIZE)}`;
  element("newer").disabled = offset === 0;
  element("older").disabled = offset + PAGE_SIZE >= page.total;
}

async function save() {
  const body = Object.fromEntries(fields.map((field) => [field, element(field).value]));
  if (edited) {
    await request("PUT", `/${edited.id}`, body);
  } else {
    await request("POST", "", body);
    offset = 0;
  }
  showEditor(null);
  await load();
}

async function removeItem(item) {
  try {
    await request("DELETE", `/${item.id}`);
  } catch (error) {
    // Somebody else was faster. The list then shows the current items.
    if (error.status !== 404) {
      throw error;
    }
  }
  if (edited && edited.id === item.id) {
    showEditor(null);
  }
  await load();
}

// Run one action at a time and show its error. What the user typed stays in the form.
async function run(action) {
  showMessage("");
  showInvalid();
  element("save").disabled = true;
  try {
    await action();
  } catch (error) {
    showMessage(error.message);
    showInvalid(error.invalid);
  } finally {
    element("save").disabled = false;
  }
}

function turn(pages) {
  offset = Math.max(0, offset + pages * PAGE_SIZE);
  run(load);
}

element("editor").addEventListener("submit", (event) => {
  event.preventDefault();
  run(save);
});
element("cancel").addEventListener("click", () => showEditor(null));
element("newer").addEventListener("click", () => turn(-1));
element("older").addEventListener("click", () => turn(1));
run(load);
