import { Compass } from "lucide-react";
import Link from "next/link";
import { EmptyState } from "@/components/app/empty-state";
import { Page } from "@/components/app/page";
import { Button } from "@/components/ui/button";

export default function NotFound() {
  return (
    <main>
      <Page>
        <h1 className="sr-only">Page not found</h1>
        <EmptyState
          icon={Compass}
          title="There is no such page"
          description="The address may be mistyped, or what it named has been deleted."
          action={
            <Button asChild>
              <Link href="/">Go to the dashboard</Link>
            </Button>
          }
        />
      </Page>
    </main>
  );
}
