-- By which version of a license an activation was judged. The policy's is read with the whole of its row.
GRANT SELECT ("xmin") ON "license" TO latchkey_lookup;
