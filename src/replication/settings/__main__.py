from replication.settings import load, print_plan

print_plan(load())
