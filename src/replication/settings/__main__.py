import argparse

from replication import settings

parser = argparse.ArgumentParser(description="Check the settings and print what they ask for.")
parser.add_argument("profile", nargs="?", help="make this profile the active one")
chosen = parser.parse_args().profile
everything = settings.load(chosen)
if chosen:
    print(f"dvc.yaml: profile {settings.switch(chosen)} -> {chosen}")
print(settings.describe(everything))
