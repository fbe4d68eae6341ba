"""The words of intents as plain tables: what `intent.describe` says. Nothing here runs.

Each entry is (for training, held out for testing), the canonical wording first. Held-out words are those of plan lines too
(`plan_phrases`): training never shows them anywhere.
"""

SAY = {
    "turn left": (("turn left", "turn to the left", "swing left", "look left", "go round to the left"),
                  ("veer left", "swivel to the left", "pivot left")),
    "turn right": (("turn right", "turn to the right", "swing right", "look right", "go round to the right"),
                   ("veer right", "swivel to the right", "pivot right")),
    "turn around": (("turn around", "turn back", "spin around", "look behind you"),
                    ("do a 180", "face the other way", "wheel about")),
    "go ahead": (("go ahead", "go forward", "move forward", "run forward", "walk ahead", "keep going forward"),
                 ("advance", "press onward", "proceed")),
    "go back": (("go back", "back up", "move backwards", "step back", "walk backwards"),
                ("retreat", "withdraw", "fall away in reverse")),
    "strafe left": (("strafe left", "sidestep left", "step to the left", "move sideways to the left"),
                    ("shuffle left", "slide to the left", "dodge left")),
    "strafe right": (("strafe right", "sidestep right", "step to the right", "move sideways to the right"),
                     ("shuffle right", "slide to the right", "dodge right")),
    "shoot": (("shoot", "fire", "attack", "fire your gun", "start shooting"),
              ("pull the trigger", "blast away", "open up")),
    "kill": (("kill an enemy", "shoot an enemy", "attack an enemy", "fire until somebody falls"),
             ("finish off a foe", "gun down an opponent")),
    "change": (("change to the {weapon}", "switch to the {weapon}", "take the {weapon}", "get out the {weapon}"),
               ("equip the {weapon}", "draw the {weapon}", "swap to the {weapon}")),
    "jump": (("jump", "hop", "jump up"), ("leap", "vault")),
    "crouch": (("crouch", "duck", "crouch down"), ("squat", "stay low")),
    "look up": (("look up", "aim up", "tilt up"), ("gaze upward", "pitch upward")),
    "look down": (("look down", "aim down", "tilt down"), ("gaze downward", "pitch downward")),
    "wait": (("wait", "stand still", "stay where you are", "hold still"), ("stay put", "freeze", "hold position")),
}  # fmt: skip
TOGETHER = ((" and ", ", "), (" as well as ", " + "))  # between parts that happen at the same time
AFTER = ((", then ", " then ", ", and then "), (", after that ", "; next "))
AROUND = (("{intent}", "{intent}.", "{intent}!"), ("{intent} please", "try this: {intent}"))
