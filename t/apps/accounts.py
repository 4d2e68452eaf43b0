"""An application without sessions of its own; nginx keeps them (nginx-conf/app-with-control-headers.conf)."""
import hmac
import json
from html import escape
from urllib.parse import parse_qs

from fastapi import FastAPI, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse

NAMES, PASSWORDS = {"ann": "Ann Archer"}, {"ann": "apple"}
LOGIN = """<form method="post"><input name="user"> <input name="password" type="password"> <button>Log in</button>
<label><input name="remember" type="checkbox"> keep me logged in</label></form>"""
ACCOUNT = """<form method="post"><input name="color"> <button>Change</button></form>
<form method="post" action="/logout"><button>Log out</button></form>"""
app = FastAPI()


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(f"<!doctype html><title>{title}</title><h1>{title}</h1>{body}", status)


async def form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}


@app.get("/")
def home(x_name: str = Header("nobody")):
    return page("Home", f'<p>You are {escape(x_name)}.</p><a href="/account/">Your account</a>')


@app.get("/login")
def ask_password():
    return page("Log in", LOGIN)


@app.post("/login")
async def log_in(request: Request):
    given = await form(request)
    user, password = given.get("user", ""), given.get("password", "")
    if not hmac.compare_digest(password.encode(), PASSWORDS.get(user, "").encode()) or user not in NAMES:
        return page("Log in", "<p>That name and password do not belong together.</p>" + LOGIN, 403)
    data = {"user": user, "name": NAMES[user], "color": None}  # null: nothing of whoever used this browser before
    return RedirectResponse("/account/", 303, {"X-Session-Subject": user, "X-Session-Data": json.dumps(data),
                                               "X-Session-Remember": "on" if "remember" in given else "off"})


@app.get("/account/")
def account(x_user: str = Header(), x_name: str = Header(), x_color: str = Header()):
    return page(escape(x_name), f"<p>{escape(x_user)}'s colour is {escape(x_color)}.</p>{ACCOUNT}")


@app.post("/account/")
async def change_color(request: Request):
    color = (await form(request)).get("color")
    return RedirectResponse("/account/", 303, {"X-Session-Data": json.dumps({"color": color})})


@app.post("/logout")
def log_out():
    return RedirectResponse("/", 303, {"X-Session-Action": "logout"})
