"""The words of plan lines as plain tables: what `plan.parse` understands and what `plan.paraphrase` says.

Nothing here runs. Keys are lower-case phrases of whole words; `parse` matches the longest phrase first.
"""

MAX_LENGTH = 200  # characters of a plan line
PLAIN_AMOUNT = 15  # degrees over one chunk of a turn or a look that says no amount

# Amounts in words: phrase -> (degrees of a turn, degrees of a look) over one chunk. One word, one amount.
AMOUNTS = {
    "slightly": (5, 5),
    "a touch": (5, 5),
    "a hair": (5, 5),
    "a tad": (5, 5),
    "a bit": (10, 10),
    "a little": (10, 10),
    "a little bit": (10, 10),
    "somewhat": (10, 10),
    "wide": (30, None),
    "broadly": (30, None),
    "sharply": (45, 20),
    "hard": (45, 20),
    "steeply": (45, 20),
    "all the way": (60, 20),
    "as far as you can": (60, 20),
    "as far as possible": (60, 20),
}

NUMBER_WORDS = {
    "five": 5, "ten": 10, "fifteen": 15, "twenty": 20, "twenty five": 25, "thirty": 30, "forty": 40,
    "forty five": 45, "fifty": 50, "sixty": 60, "ninety": 90, "one hundred and eighty": 180,
}  # fmt: skip

# Phrases by what they say. Left and right, up and down, numbers and amounts are read by the parser itself.
PACE = {
    "run": ("run", "running", "sprint", "sprinting", "dash", "dashing", "rush", "rushing", "charge", "charging", "race",
            "racing", "bolt", "bolting", "dart", "darting", "jog", "jogging", "hurry", "hurrying"),
    "walk": ("walk", "walking", "stroll", "strolling", "creep", "creeping", "sneak", "sneaking"),
    "any": ("go", "going", "move", "moving", "step", "stepping", "head", "heading", "proceed", "proceeding"),
}  # fmt: skip
SPEED = {"run": ("fast", "quickly", "at a run", "at full speed"), "walk": ("slowly", "at a walk")}
FORWARD = ("forward", "forwards", "ahead", "straight ahead", "straight forward", "straight on", "onward", "onwards")
BACK = ("back", "backward", "backwards", "in reverse")
ADVANCE = ("advance", "advancing")
RETREAT = ("back up", "backing up", "back away", "backing away", "back off", "backing off", "retreat", "retreating",
           "reverse", "reversing", "backpedal", "backpedaling", "backpedalling")  # fmt: skip
STRAFE = ("strafe", "strafing", "sidestep", "sidestepping", "slide", "sliding", "shuffle", "shuffling", "sideways")
STAND = ("stand", "stand still", "standing still", "hold still", "holding still", "stay", "stay still", "staying still",
         "stay put", "staying put", "stop", "stop moving", "stop running", "stop walking", "halt", "wait",
         "freeze", "freezing", "hold position", "holding position", "hold your position", "keep still", "keeping still",
         "don't move", "do not move")  # fmt: skip
TURN = ("turn", "turning", "rotate", "rotating", "swing", "swinging", "pan", "panning", "veer", "veering", "pivot",
        "pivoting", "spin", "spinning", "face", "swivel", "curve", "bear")  # fmt: skip
LOOK = ("look", "looking", "tilt", "tilting", "aim", "aiming", "glance", "glancing", "gaze", "gazing", "pitch",
        "pitching", "point", "peer")  # fmt: skip
LOOK_UP = ("raise your aim", "raise the view", "raise your view")
LOOK_DOWN = ("lower your aim", "lower the view", "lower your view")
# Understood, but nothing that one chunk can do: phrases and what to write instead.
REFUSED = (
    (("turn around", "turn round", "spin around", "turn back", "look back", "look behind", "look behind you",
      "do a 180"),
     'one chunk turns at most 60 degrees; write "turn left 60" for three chunks'),
    (("stop shooting", "stop firing", "stop jumping", "stop crouching", "stop turning", "stop looking", "stop using",
      "don't shoot", "don't fire", "don't jump", "don't turn", "do not shoot", "do not fire", "don't", "do not", "not",
      "never", "no", "without"),
     "a line says only what is done; leave out what is not"),
)  # fmt: skip
UP = ("up", "upward", "upwards")
DOWN = ("down", "downward", "downwards")
JUMP = ("jump", "jump up", "jumping", "hop", "hopping", "leap", "leaping", "vault", "vaulting")
CROUCH = ("crouch", "crouch down", "crouching", "duck", "duck down", "ducking", "squat", "squat down", "squatting",
          "stay low", "staying low", "get down", "get low", "kneel")  # fmt: skip
FIRE = ("fire", "fire away", "firing", "fire your weapon", "fire your gun", "shoot", "shooting", "shot", "attack",
        "attacking", "open fire", "blast", "blast away", "blasting", "pull the trigger",
        "pulling the trigger")  # fmt: skip
USE = ("use", "using", "open", "opening", "open it", "open the door", "interact", "interacting", "press use",
       "activate", "activating", "push the button", "press the button", "press the switch", "use the door")  # fmt: skip
SWITCH = ("switch to", "switching to", "switch weapon to", "change to", "change weapon to", "select", "equip", "draw",
          "take", "take out", "pull out", "grab", "swap to", "weapon", "slot")  # fmt: skip
WEAPON_NAMES = {
    "fist": ("fist", "fists", "bare hands"),
    "pistol": ("pistol", "handgun"),
    "shotgun": ("shotgun", "shot gun", "super shotgun"),
    "chaingun": ("chaingun", "chain gun", "machine gun", "machinegun", "minigun"),
    "rocket launcher": ("rocket launcher", "rockets", "launcher"),
    "plasma rifle": ("plasma rifle", "plasma gun", "plasma"),
    "bfg": ("bfg", "bfg 9000"),
}
LEFT = ("left", "leftward", "leftwards", "left hand side")
RIGHT = ("right", "rightward", "rightwards", "right hand side")
# A break ends one thing said and starts the next; after a hard one even the verb no longer carries over.
BREAKS = ("and", "while", "as", "plus", "also", "with", "&", "+")
HARD_BREAKS = (",", ";", ".", "!", "?", ":", "then", "|", "/")
FILLER = ("the", "a", "to", "your", "you", "my", "by", "please", "now", "i", "of", "towards", "toward", "degrees",
          "degree", "deg", "°", "-", "at once", "at the same time", "side", "view", "you are", "you're",
          "i am", "i'm", "want", "keep", "just")  # fmt: skip

# ---- what `paraphrase` says: (for training, held out for testing). `{side}` is left or right. ----
# Held-out phrases and templates are never shown in training; only left/right, digits and weapon names are shared.
SAY_MOVE = {  # (forward, run): the phrase and its form after "while"
    (1, False): ((("walk forward", "walking forward"), ("go forward", "going forward"), ("move ahead", "moving ahead"),
                  ("step forward", "stepping forward"), ("walk ahead", "walking ahead")),
                 (("advance", "advancing"), ("stroll onward", "strolling onward"),
                  ("proceed onward", "proceeding onward"))),
    (1, True): ((("run forward", "running forward"), ("run ahead", "running ahead"),
                 ("sprint ahead", "sprinting ahead"), ("sprint forward", "sprinting forward"),
                 ("dash forward", "dashing forward"), ("run straight ahead", "running straight ahead")),
                (("charge onward", "charging onward"), ("rush onward", "rushing onward"),
                 ("race onward", "racing onward"))),
    (-1, False): ((("walk back", "walking back"), ("back up", "backing up"), ("step back", "stepping back"),
                   ("move backwards", "moving backwards"), ("go back", "going back")),
                  (("retreat", "retreating"), ("reverse", "reversing"), ("backpedal", "backpedaling"))),
    (-1, True): ((("run back", "running back"), ("sprint backwards", "sprinting backwards"),
                  ("run backwards", "running backwards"), ("dash back", "dashing back")),
                 (("race in reverse", "racing in reverse"), ("rush in reverse", "rushing in reverse"))),
}  # fmt: skip
SAY_MOVE_BRIEFLY = {  # when nothing moves sideways, forward need not be said
    (1, False): ((("walk", "walking"),), (("stroll", "strolling"),)),
    (1, True): ((("run", "running"), ("sprint", "sprinting")), (("charge", "charging"), ("rush", "rushing"))),
}
SAY_STRAFE = {  # by run, when nothing moves forward or back
    False: ((("strafe {side}", "strafing {side}"), ("walk to the {side}", "walking to the {side}"),
             ("sidestep {side}", "sidestepping {side}"), ("step to the {side}", "stepping to the {side}")),
            (("shuffle {side}", "shuffling {side}"), ("slide to the {side}", "sliding to the {side}"))),
    True: ((("run to the {side}", "running to the {side}"), ("sprint {side}", "sprinting {side}"),
            ("dash to the {side}", "dashing to the {side}"), ("run and strafe {side}", "running and strafing {side}")),
           (("dart {side}", "darting {side}"), ("rush to the {side}", "rushing to the {side}"))),
}  # fmt: skip
SAY_DIAGONAL = (  # the forward phrase and its form after "while" come first, then the sidestep
    (("{move} and strafe {side}", "{moving} and strafing {side}"),
     ("{move} while strafing {side}", "{moving} while strafing {side}")),
    (("{move} as you slide {side}", "{moving} and sliding {side}"),
     ("{move} while shuffling to the {side}", "{moving} while shuffling to the {side}")),
)  # fmt: skip
SAY_STAND = ((("stand still", "standing still"), ("hold still", "holding still"), ("stay still", "staying still")),
             (("stay put", "staying put"), ("hold position", "holding position"), ("freeze", "freezing")))  # fmt: skip
# Turns and looks: `{amount}` is digits or words, `{n}` digits alone; `{direction}` is left/right or up/down.
SAY_TURN = (("turn {direction} {amount}", "turn {amount} to the {direction}", "rotate {amount} to the {direction}",
             "swing {direction} {amount}", "rotate {n} degrees to the {direction}", "turn {direction} {n} degrees"),
            ("pan {direction} {amount}", "veer {amount} {direction}", "pivot {n}° {direction}",
             "swivel to the {direction} by {n} deg"))  # fmt: skip
SAY_TURN_PLAIN = (("turn {direction}", "swing {direction}", "rotate to the {direction}", "turn to the {direction}"),
                  ("pan {direction}", "veer {direction}", "pivot to the {direction}"))  # fmt: skip
SAY_LOOK = (("look {direction} {amount}", "tilt {direction} {amount}", "aim {amount} {direction}",
             "look {direction} {n} degrees", "tilt the view {n} degrees {direction}"),
            ("glance {direction}ward {amount}", "gaze {amount} {direction}ward", "pitch {n}° {direction}ward",
             "glance {direction}ward by {n} deg"))  # fmt: skip
SAY_LOOK_PLAIN = (("look {direction}", "tilt {direction}", "aim {direction}"),
                  ("glance {direction}ward", "gaze {direction}ward", "pitch {direction}ward"))  # fmt: skip
SAY_TURN_AMOUNT = ({5: "slightly", 10: "a bit", 30: "wide", 45: "sharply", 60: "all the way"},
                   {5: "a touch", 10: "a little", 30: "broadly", 45: "hard", 60: "as far as you can"})  # fmt: skip
SAY_LOOK_AMOUNT = ({5: "slightly", 10: "a bit", 20: "all the way"},
                   {5: "a touch", 10: "a little", 20: "as far as you can"})  # fmt: skip
SAY_FLAG = {
    "jump": (("jump", "hop", "jump up"), ("leap", "vault")),
    "crouch": (("crouch", "duck", "crouch down"), ("stay low", "squat")),
    "fire": (("fire", "shoot", "attack", "fire your gun"), ("pull the trigger", "blast away", "open fire")),
    "use": (("use", "open", "open the door", "press use"), ("activate", "interact", "push the button")),
}
SAY_WEAPON = (("switch to {weapon}", "switch to the {weapon}", "take the {weapon}", "change to the {weapon}"),
              ("equip the {weapon}", "draw the {weapon}", "swap to the {weapon}"))  # fmt: skip
# How the parts become a line: (text around them, between two parts, before the last part).
TEMPLATES = (
    (("{parts}", ", ", ", "), ("{parts}", ", ", " and "), ("{parts}", " and ", " and "), ("{parts}!", ", ", " and "),
     ("{parts}.", ", ", ", ")),
    (("please {parts}", ", ", " as you "), ("now {parts}", "; ", "; "), ("{parts} at once", " + ", " + "),
     ("{parts} please", ", ", ", also ")),
)  # fmt: skip
# The same with the movement said as something that goes on meanwhile.
MEANWHILE = (("{rest} while {moving}", "{rest} while you are {moving}"), ("{moving}, {rest}", "while {moving}: {rest}"))
