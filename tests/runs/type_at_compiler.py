"""Types a program at a Linux guest, compiles and runs it there, and switches off.

usage: type_at_compiler.py CONSOLE HINDSIGHT ARGUMENT...   what the terminal showed goes to CONSOLE

The guest has /compile SOURCE OUTPUT. The program's answer, the number of primes below 200000, is in
none of the text that is typed.
"""
import sys

from terminal import Terminal

SOURCE = """#include <stdio.h>
#include <stdlib.h>
int main(void)
{
 int n = 200000, primes = 0;
 char *composite = calloc(n, 1);
 for (int i = 2; i < n; i++) {
  primes += !composite[i];
  for (long j = (long)i * i; j < n; j += i)
   composite[j] = 1;
 }
 printf("there are %d primes\\n", primes);
 return primes % 100;
}
"""

terminal = Terminal(sys.argv[2:])
terminal.wait_for(b"init: a shell")
terminal.wait_for(b"# ")
# What is typed before the shell has given the terminal back would not be echoed.
terminal.type("echo $((6 * 7)) lines; cat >primes.c\r")
terminal.wait_for(b"42 lines\r\n")
for line in SOURCE.splitlines():
    terminal.type(line + "\r")
terminal.type("\x04")
terminal.wait_for(b"# ")
terminal.type("/compile primes.c primes && ./primes; echo status $?\r")
terminal.wait_for(b"there are 17984 primes")
terminal.wait_for(b"status 84\r")
terminal.wait_for(b"# ")
terminal.type("seq 1 3000 | sort -rn | head -n 1; poweroff -f\r")
terminal.wait_for(b"\r\n3000\r")
terminal.wait_for(b"reboot: Power down")
status = terminal.finish()
with open(sys.argv[1], "wb") as console:
    console.write(terminal.seen)
sys.exit(status)
