"""The studio as people use it: a real server in a process of its own, real Chromium; these tests know no module of the app."""
