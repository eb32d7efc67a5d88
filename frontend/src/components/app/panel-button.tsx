"use client";

import dynamic from "next/dynamic";
import { type ReactNode, useRef, useState } from "react";
import { Button, type ButtonProps } from "@/components/ui/button";

const Panel = dynamic(() => import("./panel").then((module) => module.Panel), { ssr: false });

interface PanelButtonProps extends Omit<ButtonProps, "onClick" | "asChild"> {
  /** Names what opens. */
  panelLabel: string;
  panelClassName?: string;
  panel: (close: () => void) => ReactNode;
}

/** A popover of the shell. It costs a page nothing before it is opened. */
export function PanelButton({ panelLabel, panelClassName, panel, ...button }: PanelButtonProps) {
  const [isOpen, setOpen] = useState(false);
  const anchor = useRef<HTMLButtonElement>(null);
  const close = () => setOpen(false);
  return (
    <>
      <Button
        ref={anchor}
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        {...button}
        onClick={() => setOpen((wasOpen) => !wasOpen)}
      />
      {isOpen ? (
        <Panel label={panelLabel} anchor={anchor} onClose={close} className={panelClassName}>
          {panel(close)}
        </Panel>
      ) : null}
    </>
  );
}
