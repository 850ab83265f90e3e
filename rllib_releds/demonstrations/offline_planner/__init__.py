"""The offline planner: stands in for a language model where there is none, by text like one.

planner         reads the conversation, answers with programs
reading         what the prompts' text says
assignment      which agent takes which route
writing         routes as programs, or node by node
"""
