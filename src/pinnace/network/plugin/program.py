"""The programs that containerd runs as network plugins: each hands its call to the server and its answer back.

A plugin of Debian's is megabytes of Go that begin anew for each call, three for each Pod; this is 0.5 KB, begins in no
time, and what it is asked for is done where netlink is at hand already. It sends its environment (each variable ends
with a zero byte, all with one more) and its input, and gets a byte, its exit code, and its output. Where nobody listens
(the kubelet has ended) it becomes the plugin that it stands in for: both keep the same books, so that either undoes
what the other did.
"""

from __future__ import annotations

import platform
from pathlib import Path

from pinnace.core import elf

#: Offsets in the code, and to which of the data behind it they refer: the address, the zero byte, the plugin.
_REFERENCES = {0x33: 0, 0x76: 1, 0x110: 2}
_ADDRESS_SIZE = 110
_CODE = bytes.fromhex(
    "4989e4"  # mov r12,rsp
    "498b0c24"  # mov rcx,[r12]
    "4d8d6ccc10"  # lea r13,[r12+rcx*8+0x10]
    "b829000000"  # mov eax,0x29
    "bf01000000"  # mov edi,0x1
    "be01000800"  # mov esi,0x80001
    "31d2"  # xor edx,edx
    "0f05"  # syscall
    "85c0"  # test eax,eax
    "0f88e1000000"  # js fallback
    "89c3"  # mov ebx,eax
    "b82a000000"  # mov eax,0x2a
    "89df"  # mov edi,ebx
    "488d3504010000"  # lea rsi,[rip+0x104]
    "ba6e000000"  # mov edx,0x6e
    "0f05"  # syscall
    "85c0"  # test eax,eax
    "0f85c2000000"  # jne fallback
    "498b7500"  # mov rsi,[r13+0x0]
    "4885f6"  # test rsi,rsi
    "7424"  # je noenv
    "4c89ef"  # mov rdi,r13
    # last:
    "48837f0800"  # cmp [rdi+0x8],0x0
    "7406"  # je found
    "4883c708"  # add rdi,0x8
    "ebf3"  # jmp last
    # found:
    "488b17"  # mov rdx,[rdi]
    # len:
    "803a00"  # cmp byte [rdx],0x0
    "488d5201"  # lea rdx,[rdx+0x1]
    "75f7"  # jne len
    "4829f2"  # sub rdx,rsi
    "e8ad000000"  # call send
    # noenv:
    "488d35c1000000"  # lea rsi,[rip+0xc1]
    "ba01000000"  # mov edx,0x1
    "e89c000000"  # call send
    "4881ec00000100"  # sub rsp,0x10000
    # input:
    "31c0"  # xor eax,eax
    "31ff"  # xor edi,edi
    "4889e6"  # mov rsi,rsp
    "ba00000100"  # mov edx,0x10000
    "0f05"  # syscall
    "85c0"  # test eax,eax
    "785f"  # js fail
    "740c"  # je done
    "89c2"  # mov edx,eax
    "4889e6"  # mov rsi,rsp
    "e877000000"  # call send
    "ebe0"  # jmp input
    # done:
    "b830000000"  # mov eax,0x30
    "89df"  # mov edi,ebx
    "be01000000"  # mov esi,0x1
    "0f05"  # syscall
    "31c0"  # xor eax,eax
    "89df"  # mov edi,ebx
    "4889e6"  # mov rsi,rsp
    "ba01000000"  # mov edx,0x1
    "0f05"  # syscall
    "83f801"  # cmp eax,0x1
    "7530"  # jne fail
    "440fb63424"  # movzx r14d,byte [rsp]
    # output:
    "31c0"  # xor eax,eax
    "89df"  # mov edi,ebx
    "4889e6"  # mov rsi,rsp
    "ba00000100"  # mov edx,0x10000
    "0f05"  # syscall
    "85c0"  # test eax,eax
    "7819"  # js fail
    "7412"  # je leave
    "89c2"  # mov edx,eax
    "4889e6"  # mov rsi,rsp
    "41bf01000000"  # mov r15d,0x1
    "e82e000000"  # call sendto
    "ebda"  # jmp output
    # leave:
    "4489f7"  # mov edi,r14d
    "eb05"  # jmp exit
    # fail:
    "bf01000000"  # mov edi,0x1
    # exit:
    "b83c000000"  # mov eax,0x3c
    "0f05"  # syscall
    # fallback:
    "b83b000000"  # mov eax,0x3b
    "488d3d27000000"  # lea rdi,[rip+0x27]
    "498d742408"  # lea rsi,[r12+0x8]
    "4c89ea"  # mov rdx,r13
    "0f05"  # syscall
    "ebdc"  # jmp fail
    # send:
    "4189df"  # mov r15d,ebx
    # sendto:
    "b801000000"  # mov eax,0x1
    "4489ff"  # mov edi,r15d
    "0f05"  # syscall
    "4885c0"  # test rax,rax
    "7eca"  # jle fail
    "4801c6"  # add rsi,rax
    "4829c2"  # sub rdx,rax
    "75e9"  # jne sendto
    "c3"  # ret
)


def works_here() -> bool:
    return platform.machine() == "x86_64"


def program(socket: Path, plugin: Path) -> bytes:
    """The ELF file that asks at ``socket``, and becomes ``plugin`` if nobody is there. Raises ValueError for a path
    that is too long."""
    address = (1).to_bytes(2, "little") + bytes(socket)
    if len(address) >= _ADDRESS_SIZE:
        raise ValueError(f"the path of a socket is too long ({socket}): use a shorter data directory")
    data = [address.ljust(_ADDRESS_SIZE, b"\0"), b"\0", bytes(plugin) + b"\0"]
    return elf.program(elf.X86_64, elf.linked(_CODE, _REFERENCES, data))
