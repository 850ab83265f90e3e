"""Chat models, behind one method.

chat            the method, its settings, its budget, and the trimming of conversations
litellm_chat    every provider through litellm; `chat_failures` says what its errors mean
chat_models     a model by its name; `providers` what its provider needs
recorded        replies kept on disk, so that a run can be repeated without a key
hidden_keys, bounded_http   no key in any file or message, no answer without end
"""
